package graphqlhttp

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
)

func TestArraysOfOperationsAreAnsweredInOneArray(t *testing.T) {
	const one = `{"data":{"one":1}}`
	operations := func(n int) string { return "[" + strings.Repeat(`{"query":"one"},`, n-1) + `{"query":"one"}]` }
	for _, c := range []struct {
		rule string
		request
		status int
		body   string
	}{
		{"each has its response, in order", post(` [{"query":"one"},{"query":"mutation one"},{"query":"echo","operationName":"A"}]`), 200, `[` + one + `,` + one + `,{"data":{"extensions":null,"name":"A","variables":null}}]`},
		{"one is an array, too", post(`[{"query":"one"}]`), 200, `[` + one + `]`},
		{"ten are accepted", post(operations(10)), 200, "[" + strings.Repeat(one+",", 9) + one + "]"},
		{"eleven are not", post(operations(11)), 413, says("LIMIT_EXCEEDED", "the array has more than 10 operations")},
		{"none is none", post("[ ]"), 400, says("BAD_INPUT", "the array has no operation")},
		{"an error stays in its place", post(`[{"query":"invalid"},{"query":"one"},{"query":"panic early"},{"query":"fail NOT_FOUND"}]`), 200, `[{"errors":[{"message":"invalid"}]},` + one + `,` + says("INTERNAL", "recovered") + `,` + says("NOT_FOUND", "failed") + `]`},
		{"a subscription gets an error", post(`[{"query":"subscription updates"},{"query":"one"}]`), 200, `[` + says("BAD_INPUT", "a subscription cannot be one of several operations in an array: open a WebSocket, or a stream") + `,` + one + `]`},
		{"a response that a middleware has as bytes", post(`[{"query":"body"},{"query":"repeat"}]`), 200, `[{"data":"shared"},{"data":"shared"}]`},
		{"what is not well-formed is refused as a whole", post(`[{"query":"one"},{"query":1}]`), 400, says("BAD_INPUT", `"query" is not a string`)},
		{"each has a query", post(`[{"query":"one"},{}]`), 400, says("BAD_INPUT", `"query" is missing or empty`)},
		{"an array is JSON", post(`[{"query":"one"}`), 400, says("BAD_INPUT", "the request is not JSON: unexpected end of JSON input (at byte 16)")},
		{"nothing follows it", post(`[{"query":"one"}]x`), 400, says("BAD_INPUT", "the request is not JSON: invalid character 'x' after top-level value (at byte 18)")},
		{"it is UTF-8", post("[{\"query\":\"\xe9\"}]"), 400, says("BAD_INPUT", "the request is not UTF-8")},
		{"it is no stream", post(operations(1), "Accept", "text/event-stream"), 406, says("BAD_INPUT", "an array of operations gets no stream: accept application/json or application/graphql-response+json")},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s := newScript()
			s.body = NewBody([]byte(`{"data":"shared"}`))
			response, body := ask(t, s, c.request)
			if response.StatusCode != c.status || body != c.body {
				t.Errorf("%d %s\nwant %d %s", response.StatusCode, body, c.status, c.body)
			}
		})
	}
}

// inOrder is an executor whose mutations note when they begin and end.
type inOrder struct {
	*script
	log []string
}

func (s *inOrder) DispatchOperation(_ context.Context, o *graphql.OperationContext) (graphql.ResponseHandler, context.Context) {
	s.log = append(s.log, "begin "+o.RawQuery)
	return func(context.Context) *graphql.Response {
		s.log = append(s.log, "end "+o.RawQuery)
		return &graphql.Response{Data: json.RawMessage(`{}`)}
	}, context.Background()
}

func TestMutationsInAnArrayRunOneAfterTheOther(t *testing.T) {
	s := &inOrder{script: newScript()}
	q := post(`[{"query":"mutation a"},{"query":"mutation b"},{"query":"mutation c"}]`)
	New(Options{}).Do(httptest.NewRecorder(), q.build(t, "http://example.com"), s)
	if want := []string{"begin a", "end a", "begin b", "end b", "begin c", "end c"}; !slices.Equal(s.log, want) {
		t.Errorf("%q", s.log)
	}
}

func TestMutationsInAnArrayOfAClientThatHasLeftDoNotBegin(t *testing.T) {
	s := &inOrder{script: newScript()}
	r := post(`[{"query":"mutation a"}]`).build(t, "http://example.com")
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	New(Options{}).Do(httptest.NewRecorder(), r.WithContext(ctx), s)
	if len(s.log) > 0 {
		t.Errorf("%q", s.log)
	}
}

func TestResponsesOfAnArrayShareTheMemoryOfOneRequest(t *testing.T) {
	const total = 1 << 20
	memory := budget.New(total, prometheus.NewRegistry())
	transport := New(Options{Memory: func(*http.Request) *budget.Account { return memory.Open("client", 0) }})
	q := post("[" + strings.Repeat(`{"query":"large"},`, 9) + `{"query":"large"}]`)
	recorder := httptest.NewRecorder()
	transport.Do(recorder, q.build(t, "http://example.com"), newScript())
	var results []struct {
		Data   *string
		Errors []struct{ Extensions struct{ Code string } }
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &results); err != nil || len(results) != 10 {
		t.Fatalf("%v, %d responses: %.100s", err, len(results), recorder.Body)
	}
	// A caller may have half of the memory, which is 512 KiB, and each response takes twice 64.
	if results[0].Data == nil || results[9].Data != nil || len(results[9].Errors) != 1 || results[9].Errors[0].Extensions.Code != "UNAVAILABLE" {
		t.Errorf("%.200s", recorder.Body)
	}
	if err := memory.Take("", budget.Requests, total); err != nil {
		t.Errorf("something is left: %v", err)
	}
}

// FuzzBatch checks that an array means the same as its elements alone.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{`[{"query":"a"},{"query":"b","variables":{"x":[1,null]}}]`, `[]`, `[[]]`, `[{"query":"a"},]`, ` [ {} , {} ] x`, `[{"query":"\ud800"}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !isBatch(text) {
			return
		}
		got, refused := parseBatch(text, nil)
		var elements []json.RawMessage
		err := json.Unmarshal(text, &elements)
		if refused != nil {
			if refused.message == "" || refused.status < 400 {
				t.Fatalf("%+v", refused)
			}
			return
		}
		if err != nil || len(elements) != len(got) || len(got) == 0 || len(got) > maxBatch {
			t.Fatalf("%d operations of %s: %v", len(got), text, err)
		}
		for i, element := range elements {
			alone, refused := parseBody(element, nil)
			if refused != nil {
				t.Fatalf("%s is accepted in an array: %v", element, refused.message)
			}
			if a, b := encode(alone), encode(got[i]); string(a) != string(b) {
				t.Fatalf("%s is %s, in an array %s", element, a, b)
			}
		}
	})
}
