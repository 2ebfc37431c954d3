package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pullwatch/internal/pull"
)

func TestErrorsHaveCodes(t *testing.T) {
	s := serve(t)
	for name, c := range map[string]struct {
		query     string
		variables any
		code      string
		message   string
	}{
		"syntax":               {"{", nil, "BAD_INPUT", "Expected Name"},
		"unknown field":        {"{nope}", nil, "BAD_INPUT", "nope"},
		"missing variable":     {"query($id: ID!){pullJob(id: $id){id}}", nil, "BAD_INPUT", "id"},
		"variable of bad type": {"query($n: Int!){failedPulls(limit: $n){id}}", map[string]any{"n": "x"}, "BAD_INPUT", ""},
		"fractional Int":       {"query($n: Int!){failedPulls(limit: $n){id}}", map[string]any{"n": 1.5}, "BAD_INPUT", "cannot use 1.5 as Int"},
		"limit 0":              {"{failedPulls(limit: 0){id}}", nil, "BAD_INPUT", "limit is 0; it must be 1 to 500"},
		"limit 501":            {"{failedPulls(limit: 501){id}}", nil, "BAD_INPUT", "it must be 1 to 500"},
		"unavailable":          {`mutation{cancelPull(id: "a"){id}}`, nil, "UNAVAILABLE", "Kubernetes does not answer"},
		"subscription by POST": {"subscription{pullJobUpdated{id}}", nil, "BAD_INPUT", "WebSocket"},
		"many aliases":         {"{" + manyAliases() + "}", nil, "LIMIT_EXCEEDED", "it may have"},
		"no operation":         {"fragment f on PullJob{id}", nil, "BAD_INPUT", "no operation"},
		"two operations":       {"query a{activePulls{id}}query b{activePulls{id}}", nil, "BAD_INPUT", "2 operations: name one"},
		"long lists":           {"{" + longLists() + "}", nil, "LIMIT_EXCEEDED", ""},
		"too many tokens":      {"{" + strings.Repeat("x ", 20_000) + "}", nil, "LIMIT_EXCEEDED", "10000 tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.post(t, c.query, c.variables)
			if len(r.Errors) == 0 || r.Errors[0].Extensions.Code != c.code || !strings.Contains(r.Errors[0].Message, c.message) {
				t.Errorf("%+v; want %s %q", r.Errors, c.code, c.message)
			}
			for _, e := range r.Errors {
				if strings.Contains(e.Message, "secret") {
					t.Errorf("internals reach the client: %s", e.Message)
				}
			}
		})
	}
}

func manyAliases() string {
	var b strings.Builder
	for i := range 600 {
		b.WriteString(" x" + string(rune('a'+i%26)) + strings.Repeat("y", i/26) + ":activePulls{id message phase}")
	}
	return b.String()
}

func longLists() string {
	var b strings.Builder
	for i := range 26 {
		b.WriteString(" x" + string(rune('a'+i)) + ":failedPulls(limit:500){id message failure{message remedy logTail}}")
	}
	return b.String()
}

func TestInternalErrorsAreMasked(t *testing.T) {
	s := serve(t)
	for name, active := range map[string]func() ([]*pull.State, error){
		"error": func() ([]*pull.State, error) { return nil, errors.New("secret") },
		"panic": func() ([]*pull.State, error) { panic("secret") },
	} {
		s.backend.active = active
		r := s.post(t, "{activePulls{id}}", nil)
		if len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "INTERNAL" || strings.Contains(r.Errors[0].Message, "secret") || len(r.Errors[0].Path) != 1 {
			t.Errorf("%s: %+v", name, r.Errors)
		}
	}
}

func TestQueriesAreAnsweredByGETAndMutationsAreNot(t *testing.T) {
	s := serve(t)
	get := func(query string) response {
		answer, err := http.Get(s.url + "/graphql?query=" + url.QueryEscape(query))
		if err != nil {
			t.Fatal(err)
		}
		return decode(t, answer)
	}
	if r := get("{activePulls{id}}"); string(r.Data) != `{"activePulls":[{"id":"a"}]}` {
		t.Errorf("%s %+v", r.Data, r.Errors)
	}
	if r := get(`mutation{cancelPull(id: "a"){id}}`); len(r.Errors) != 1 || r.Errors[0].Extensions.Code != "BAD_INPUT" {
		t.Errorf("a mutation by GET: %+v", r)
	}
}

func TestFormsAreRefused(t *testing.T) {
	s := serve(t)
	for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"} {
		answer, err := http.Post(s.url+"/graphql", kind, strings.NewReader(`{"query":"mutation{cancelPull(id: \"a\"){id}}"}`))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode < 400 {
			t.Errorf("a page of another origin can post %s without being asked: %s", kind, answer.Status)
		}
	}
}

func TestClientsLearnWhatIsWrongWithARequest(t *testing.T) {
	s := serve(t)
	for _, body := range []string{"", "{", "null", "[]", `{"query":1}`, `{"query":"{activePulls{id}}","variables":[]}`, "\xff"} {
		answer, err := http.Post(s.url+"/graphql", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if r := decode(t, answer); len(r.Errors) == 0 || r.Errors[0].Extensions.Code != "BAD_INPUT" || len(r.Errors[0].Message) > 1000 {
			t.Errorf("%.50q: %+v", body, r.Errors)
		}
	}
	for _, query := range []string{"", "?query=%zz", "?query={activePulls{id}}&variables=x", "?query={activePulls{id}}&variables=[]"} {
		answer, err := http.Get(s.url + "/graphql" + query)
		if err != nil {
			t.Fatal(err)
		}
		if r := decode(t, answer); len(r.Errors) == 0 || r.Errors[0].Extensions.Code != "BAD_INPUT" {
			t.Errorf("%q: %+v", query, r.Errors)
		}
	}
}

func TestClientsLearnThatARequestIsTooLong(t *testing.T) {
	s := serve(t)
	answer, err := http.Post(s.url+"/graphql", "application/json", strings.NewReader(strings.Repeat("x", 2<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if r := decode(t, answer); answer.StatusCode != http.StatusRequestEntityTooLarge || len(r.Errors) == 0 || r.Errors[0].Extensions.Code != "LIMIT_EXCEEDED" {
		t.Errorf("%s: %+v", answer.Status, r.Errors)
	}
}

func TestStaleListsSayHowOldTheyAre(t *testing.T) {
	s := serve(t)
	fresh := s.post(t, `{ activePulls { id } }`, nil)
	if len(fresh.Extensions) > 0 {
		t.Errorf("a fresh list came with %s", fresh.Extensions)
	}
	stale := s.post(t, `{ a: failedPulls { id } b: failedPulls(limit: 1) { id } }`, nil)
	const want = `{"stale":{"a":{"ageSeconds":90},"b":{"ageSeconds":90}}}`
	if string(stale.Extensions) != want {
		t.Errorf("a stale list came with %s", stale.Extensions)
	}
}
