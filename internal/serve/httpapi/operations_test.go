package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pullwatch/internal/pull"
)

// typeRef is the deepest part of the introspection query of GraphiQL, Apollo and graphql-js.
const typeRef = "kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name " +
	"ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}}}}}"

const introspection = `query IntrospectionQuery{__schema{description queryType{name kind} mutationType{name kind} subscriptionType{name kind}
	types{...FullType} directives{name description isRepeatable locations args(includeDeprecated: true){...InputValue}}}}
fragment FullType on __Type{kind name description specifiedByURL isOneOf
	fields(includeDeprecated: true){name description args(includeDeprecated: true){...InputValue} type{...TypeRef} isDeprecated deprecationReason}
	inputFields(includeDeprecated: true){...InputValue} interfaces{...TypeRef}
	enumValues(includeDeprecated: true){name description isDeprecated deprecationReason} possibleTypes{...TypeRef}}
fragment InputValue on __InputValue{name description type{...TypeRef} defaultValue isDeprecated deprecationReason}
fragment TypeRef on __Type{` + typeRef + "}"

// everything asks for all fields as Apollo's client does, which adds __typename.
const everything = `query Everything($id: ID!){active: activePulls{...Job} failed: failedPulls(limit: 500){...Job} pullJob(id: $id){...Job} __typename}
fragment Image on ImageReference{name registry repository tag digest __typename}
fragment Job on PullJob{id image{...Image} destination{...Image} phase message
	progress{percent bytesDone bytesTotal bytesPerSecond secondsLeft __typename} attempts
	failure{reason message remedy logTail __typename} retryOf createdAt startedAt finishedAt updatedAt revision __typename}`

func TestDocumentsOfToolsAreWithinLimits(t *testing.T) {
	s := serve(t)
	s.backend.active = func() ([]*pull.State, error) { return nil, nil }
	for name, query := range map[string]string{"introspection": introspection, "everything": everything} {
		if r := s.post(t, query, map[string]any{"id": "a"}); len(r.Errors) > 0 || len(r.Data) == 0 {
			t.Errorf("%s: %+v", name, r.Errors)
		}
	}
	many := "query{" + numbered(50, "a#: pullJob(id: \"#\"){...Job} ") + "}" + everything[strings.Index(everything, "fragment"):]
	if r := s.post(t, many, nil); len(r.Errors) > 0 {
		t.Errorf("%d pulls by id: %+v", 50, r.Errors)
	}
}

func TestIntrospectionCanBeSwitchedOff(t *testing.T) {
	limits := testLimits
	limits.Introspection = false
	s := serveWithin(t, limits)
	for _, query := range []string{introspection, `{__type(name: "PullJob"){name}}`, `{...f} fragment f on Query{x: __schema{types{name}}}`} {
		if r := s.post(t, query, nil); len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "FORBIDDEN" || len(r.Data) > 0 {
			t.Errorf("%.40s: %s %+v", query, r.Data, r.Errors)
		}
	}
	if r := s.post(t, `{__typename activePulls{__typename}}`, nil); len(r.Errors) > 0 {
		t.Errorf("__typename: %+v", r.Errors)
	}
}

func TestOperationsInFlightAreLimited(t *testing.T) {
	limits := testLimits
	limits.MaxOperations = 1
	s := serveWithin(t, limits)
	entered, leave := make(chan struct{}), make(chan struct{})
	s.backend.active = func() ([]*pull.State, error) {
		entered <- struct{}{}
		<-leave
		return nil, nil
	}
	answered := make(chan response, 1)
	go func() { answered <- s.post(t, "{activePulls{id}}", nil) }()
	<-entered
	if r := s.post(t, "{failedPulls{id}}", nil); len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "UNAVAILABLE" || !strings.Contains(r.Errors[0].Message, "1 operations") {
		t.Errorf("%+v", r)
	}
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	if m := read(t, s.subscribe(t, "subscription{pullJobUpdated{id}}")); m.Type != "next" {
		t.Errorf("subscriptions are not counted, but there came %+v", m)
	}
	close(leave)
	if r := <-answered; len(r.Errors) > 0 {
		t.Errorf("the first one: %+v", r.Errors)
	}
	if r := s.post(t, "{failedPulls{id}}", nil); len(r.Errors) > 0 {
		t.Errorf("after the first one: %+v", r.Errors)
	}
}

// persisted returns the extension that names a query by its hash.
func persisted(query string) map[string]any {
	return map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash(query)}}
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestClientsSendAPersistedQueryOnce(t *testing.T) {
	post := func(s *served, request map[string]any) response {
		body, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.Post(s.url+"/graphql", "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, answer)
	}
	get := func(s *served, request map[string]any) response {
		parameters := url.Values{}
		for name, value := range request {
			text, ok := value.(string)
			if !ok {
				encoded, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				text = string(encoded)
			}
			parameters.Set(name, text)
		}
		answer, err := http.Get(s.url + "/graphql?" + parameters.Encode())
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, answer)
	}
	const query, wrong = "{activePulls{id}}", "{nope}"
	for method, send := range map[string]func(*served, map[string]any) response{"POST": post, "GET": get} {
		t.Run(method, func(t *testing.T) {
			s := serve(t)
			for i, c := range []struct {
				request       map[string]any
				code, message string
			}{
				{map[string]any{"extensions": persisted(query)}, "NOT_FOUND", "PersistedQueryNotFound"},
				{map[string]any{"extensions": persisted(wrong), "query": query}, "BAD_INPUT", "hash"},
				{map[string]any{"extensions": persisted(query)}, "NOT_FOUND", "PersistedQueryNotFound"},
				{map[string]any{"extensions": persisted(query), "query": query}, "", ""},
				{map[string]any{"extensions": persisted(query)}, "", ""},
				{map[string]any{"extensions": persisted(wrong), "query": wrong}, "BAD_INPUT", "nope"},
				{map[string]any{"extensions": persisted(wrong)}, "NOT_FOUND", "PersistedQueryNotFound"},
				{map[string]any{"extensions": map[string]any{"persistedQuery": map[string]any{"version": 2}}}, "BAD_INPUT", "version"},
				{map[string]any{"extensions": map[string]any{"persistedQuery": 1}}, "BAD_INPUT", "version"},
			} {
				r := send(s, c.request)
				if c.code == "" {
					if string(r.Data) != `{"activePulls":[{"id":"a"}]}` {
						t.Errorf("%d: %+v", i, r)
					}
				} else if len(r.Errors) != 1 || r.Errors[0].Extensions.Code != c.code || !strings.Contains(r.Errors[0].Message, c.message) {
					t.Errorf("%d: %+v; want %s %s", i, r, c.code, c.message)
				}
			}
		})
	}
}

func TestErrorsOfADocumentAreBounded(t *testing.T) {
	s := serve(t)
	if r := s.post(t, "{"+numbered(40, "nope# ")+"}", nil); len(r.Errors) != 20 {
		t.Errorf("%d errors", len(r.Errors))
	}
}

func TestOperationsAreCounted(t *testing.T) {
	s := serve(t)
	s.post(t, "query Mine{activePulls{id}}", nil)
	s.post(t, "{activePulls{id}}", nil)
	s.post(t, `mutation Stop{cancelPull(id: "a"){id}}`, nil)
	s.post(t, "query Wrong{nope}", nil)
	for i := range 110 {
		s.post(t, fmt.Sprintf("query N%d{activePulls{id}}", i), nil)
	}
	s.post(t, "query Mine{activePulls{id}}", nil)
	s.post(t, "query "+strings.Repeat("x", 101)+"{activePulls{id}}", nil)
	for series, want := range map[string]float64{
		`query/Mine/ok`:              2,
		`query//ok`:                  1,
		`query/N0/ok`:                1,
		`query/other/ok`:             12, // of the names N0 to N109 there was room for 99
		`mutation/other/UNAVAILABLE`: 1,
		`refused//BAD_INPUT`:         1,
	} {
		if got := s.operations(t)[series]; got != want {
			t.Errorf("%s: %v; want %v", series, got, want)
		}
	}
}

// operations returns the counters of operations by kind, name and outcome.
func (s *served) operations(t *testing.T) map[string]float64 {
	t.Helper()
	return s.counters(t, "pullwatch_graphql_operations_total")
}

// counters returns the values of a metric by its labels, which are sorted by their names.
func (s *served) counters(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.Metric {
			var labels []string
			for _, label := range metric.Label {
				labels = append(labels, label.GetValue())
			}
			counted[strings.Join(labels, "/")] = metric.GetCounter().GetValue()
		}
	}
	return counted
}
