package graphqlhttp

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"go.uber.org/goleak"

	"pullwatch/internal/serve/transport"
	"pullwatch/internal/serve/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a graphql.GraphExecutor. A query is the name of what it does; with "mutation" or "subscription" before it,
// it is one.
type script struct {
	*transporttest.Script
	// body is what "body" and "repeat" reply with.
	body *Body
	// executed counts how often "repeat" is executed. forgotten means that its function for Repeat returns nil.
	executed  atomic.Int64
	forgotten atomic.Bool
}

func newScript() *script { return &script{Script: transporttest.NewScript()} }

func (s *script) CreateOperationContext(_ context.Context, p *graphql.RawParams) (
	*graphql.OperationContext, gqlerror.List,
) {
	kind, query := ast.Query, p.Query
	for _, other := range []ast.Operation{ast.Mutation, ast.Subscription} {
		if rest, ok := strings.CutPrefix(query, string(other)+" "); ok {
			kind, query = other, rest
		}
	}
	switch query {
	case "invalid":
		return &graphql.OperationContext{}, gqlerror.List{gqlerror.Errorf("invalid")}
	case "panic early":
		panic("secret")
	}
	return &graphql.OperationContext{
		RawQuery: query, OperationName: p.OperationName, Variables: p.Variables, Extensions: p.Extensions,
		Operation: &ast.OperationDefinition{Operation: kind}, Stats: graphql.Stats{Read: p.ReadTime},
	}, nil
}

func (s *script) PresentRecoveredError(context.Context, any) error {
	return &gqlerror.Error{Message: "recovered", Extensions: map[string]any{"code": testCode("INTERNAL")}}
}

// testCode is a code as servers have them: of a string type of their own.
type testCode string

func failure(code string) *graphql.Response {
	return &graphql.Response{Errors: gqlerror.List{{Message: "failed", Extensions: map[string]any{"code": testCode(code)}}}}
}

func (s *script) DispatchOperation(ctx context.Context, o *graphql.OperationContext) (
	graphql.ResponseHandler, context.Context,
) {
	if code, ok := strings.CutPrefix(o.RawQuery, "fail "); ok {
		return graphql.OneShot(failure(code)), ctx
	}
	if code, ok := strings.CutPrefix(o.RawQuery, "lost "); ok { // after a result
		sent := false
		return func(ctx context.Context) *graphql.Response {
			if !sent {
				sent = true
				return transporttest.Data(`{"n":1}`)
			}
			transport.AddSubscriptionError(ctx, &gqlerror.Error{Message: "lost", Extensions: map[string]any{"code": testCode(code)}})
			return nil
		}, ctx
	}
	switch o.RawQuery {
	case "":
		return graphql.OneShot(transporttest.Data(`"persisted"`)), ctx
	case "one":
		return graphql.OneShot(transporttest.Data(`{"one":1}`)), ctx
	case "ids":
		n := 0
		return func(ctx context.Context) *graphql.Response {
			if n++; n > 3 {
				return nil
			}
			SetEventID(ctx, []string{"first", "", "third"}[n-1])
			return transporttest.Data(fmt.Sprintf(`{"n":%d}`, n))
		}, ctx
	case "last event":
		return graphql.OneShot(transporttest.Data(strconv.Quote(LastEventID(ctx)))), ctx
	case "stubborn": // goes on when its context has ended
		return func(context.Context) *graphql.Response {
			<-s.Updates
			return nil
		}, ctx
	case "lines":
		return graphql.OneShot(transporttest.Data("{\r\n\"a\":\n1}")), ctx
	case "unencodable":
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{{Extensions: map[string]any{"x": func() {}}}}}), ctx
	case "nothing":
		return func(context.Context) *graphql.Response { return nil }, ctx
	case "for ever": // as an operation middleware does that forgets graphql.OneShot
		return func(context.Context) *graphql.Response { return transporttest.Data(`{}`) }, ctx
	case "large":
		return graphql.OneShot(transporttest.Data(largeData)), ctx
	case "body":
		if !Reply(ctx, s.body) {
			return graphql.OneShot(transporttest.Data(`{"replied":false}`)), ctx
		}
		return graphql.OneShot(&graphql.Response{}), ctx
	case "repeat":
		s.executed.Add(1)
		Reply(ctx, s.body)
		Repeat(ctx, func(context.Context) *Body {
			if s.forgotten.Load() {
				return nil
			}
			return s.body
		})
		return graphql.OneShot(&graphql.Response{}), ctx
	case "deferred":
		n, more := 0, true
		return func(context.Context) *graphql.Response {
			if n++; n > 1 {
				more = false
				return &graphql.Response{Data: json.RawMessage(`1`), Label: "l", Path: ast.Path{ast.PathName("b")}, HasNext: &more}
			}
			return &graphql.Response{Data: json.RawMessage(`{"a":1}`), HasNext: &more}
		}, ctx
	case "flood":
		context.AfterFunc(ctx, func() { s.Ended <- struct{}{} })
		return func(context.Context) *graphql.Response { return transporttest.Data(largeData) }, ctx
	}
	if responses := s.Respond(o); responses != nil {
		return responses, ctx
	}
	panic("unknown query " + o.RawQuery)
}

var largeData = `"` + strings.Repeat("x", 64<<10) + `"`

// server is a Transport behind an HTTP server.
type server struct {
	*Transport
	*script
	*httptest.Server
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.Do(w, r, s.script) }

func serve(t testing.TB, o Options) *server {
	t.Helper()
	return serveBy(t, o, (*httptest.Server).Start)
}

func serveBy(t testing.TB, o Options, start func(*httptest.Server)) *server {
	t.Helper()
	s := &server{Transport: New(o), script: newScript()}
	s.Server = httptest.NewUnstartedServer(s)
	// A stream has to outlive these.
	s.Config.ReadTimeout, s.Config.WriteTimeout = time.Minute, time.Minute
	start(s.Server)
	t.Cleanup(func() {
		transporttest.Drain(t, s)
		s.Close()
	})
	return s
}

// request is what a test sends.
type request struct {
	method string // by default GET
	query  string // the URL's
	header map[string]string
	body   string
}

func (q request) build(t testing.TB, url string) *http.Request {
	t.Helper()
	q.method = cmp.Or(q.method, http.MethodGet)
	r, err := http.NewRequestWithContext(t.Context(), q.method, url+"/?"+q.query, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	return r
}

// ask returns the response to a request, without a network.
func ask(t testing.TB, s *script, q request) (*http.Response, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	New(Options{BodyLimit: 1 << 10}).Do(recorder, q.build(t, "http://example.com"), s)
	response := recorder.Result()
	return response, recorder.Body.String()
}

// send sends a request and returns the header of the response.
func (s *server) send(t testing.TB, q request) *http.Response {
	t.Helper()
	response, err := s.Client().Do(q.build(t, s.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
