package graphqlws

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/transport/transporttest"
)

// steps is a Source that does one thing after the other, and watches how it is used.
type steps struct {
	todo    []func() (*graphql.Response, error)
	ready   func()
	busy    atomic.Bool
	started atomic.Int32
	closed  atomic.Int32
	misused atomic.Bool
}

func (s *steps) enter() (leave func()) {
	if !s.busy.CompareAndSwap(false, true) || s.closed.Load() > 0 {
		s.misused.Store(true)
	}
	return func() { s.busy.Store(false) }
}

func (s *steps) Start(ready func()) {
	defer s.enter()()
	s.started.Add(1)
	s.ready = ready
}

func (s *steps) Next() (*graphql.Response, error) {
	defer s.enter()()
	if len(s.todo) == 0 {
		return nil, nil
	}
	step := s.todo[0]
	s.todo = s.todo[1:]
	return step()
}

func (s *steps) Close() {
	defer s.enter()()
	s.closed.Add(1)
}

// check is for when the transport has been drained.
func (s *steps) check(t *testing.T) {
	t.Helper()
	if s.misused.Load() || s.closed.Load() != 1 {
		t.Errorf("closed %d times, misused: %t", s.closed.Load(), s.misused.Load())
	}
	if s.ready != nil {
		s.ready() // does nothing any more
	}
}

func result(data string) (*graphql.Response, error) {
	return &graphql.Response{Data: json.RawMessage(data)}, nil
}

func give(data string) func() (*graphql.Response, error) {
	return func() (*graphql.Response, error) { return result(data) }
}

func fail(err error) func() (*graphql.Response, error) {
	return func() (*graphql.Response, error) { return nil, err }
}

func TestSourcesEndAsTheProtocolSays(t *testing.T) {
	type todo = []func() (*graphql.Response, error)
	const subscribed = "> " + initMessage + "\n< " + ackMessage + "\n"
	subscribe1 := "> " + subscribe("1", "push") + "\n"
	next := func(data string) string { return `< {"id":"1","type":"next","payload":{"data":` + data + "}}\n" }
	const complete = `< {"id":"1","type":"complete"}` + "\n"
	failed := func(errors string) string { return `< {"id":"1","type":"error","payload":` + errors + "}\n" }
	theSameID := "> " + subscribe("1", "{one}") + "\n" + next(`{"one":1}`) + complete
	const bye = "> bye\n< close 1000"
	oops := gqlerror.List{gqlerror.Errorf("a"), gqlerror.Errorf("b")}
	const oopsSent = `[{"message":"a"},{"message":"b"}]`
	panics := func(value string) func() (*graphql.Response, error) {
		return func() (*graphql.Response, error) { panic(value) }
	}
	respond := func(r *graphql.Response) func() (*graphql.Response, error) {
		return func() (*graphql.Response, error) { return r, nil }
	}
	for _, c := range []struct {
		rule     string
		todo     todo
		exchange string
	}{
		{"results are sent in order, then complete",
			todo{give("1"), give("2"), give("3"), fail(io.EOF)}, next("1") + next("2") + next("3") + complete},
		{"there may be none", todo{fail(io.EOF)}, complete},
		{"errors end it", todo{give("1"), fail(oops)}, next("1") + failed(oopsSent)},
		{"an error ends it", todo{fail(oops[0])}, failed(`[{"message":"a"}]`)},
		{"an error that is not GraphQL's is not shown",
			todo{fail(errors.New("secret"))}, failed(`[{"message":"recovered"}]`)},
		{"a panic is an error", todo{give("1"), panics("secret")}, next("1") + failed(`[{"message":"recovered"}]`)},
		{"a panic is an error, whatever comes of presenting it",
			todo{panics("panic again")}, failed(`[{"message":"internal system error"}]`)},
		{"errors without data end it", todo{respond(&graphql.Response{Errors: oops})}, failed(oopsSent)},
		{"errors of fields travel in next",
			todo{respond(&graphql.Response{Errors: oops, Data: json.RawMessage("{}")}), fail(io.EOF)},
			`< {"id":"1","type":"next","payload":{"errors":` + oopsSent + `,"data":{}}}` + "\n" + complete},
		{"an id is free again after the end", todo{give("1"), fail(io.EOF)}, next("1") + complete + theSameID},
		{"an id is free again after the client's complete",
			todo{give("1")}, next("1") + `> {"id":"1","type":"complete"}` + "\n" + theSameID},
	} {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			source := &steps{todo: c.todo}
			s := serve(t, Options{})
			s.source = func(context.Context) Source { return source }
			play(t, s.dial(t), subscribed+subscribe1+c.exchange+bye)
			transporttest.Drain(t, s.Transport)
			source.check(t)
		})
	}
}

// What fails between Push and the first turn closes the source, too.
func TestSourceThatDoesNotStartIsClosed(t *testing.T) {
	for query, started := range map[string]int32{"push, then panic": 0, "push, start panics": 1} {
		t.Run(query, func(t *testing.T) {
			source := &steps{}
			s := serve(t, Options{})
			s.source = func(context.Context) Source { return source }
			if started == 1 {
				s.source = func(context.Context) Source { return panicking{source} }
			}
			play(t, s.dial(t), strings.Join([]string{
				"> " + initMessage, "< " + ackMessage, "> " + subscribe("1", query),
				`< {"id":"1","type":"error","payload":[{"message":"recovered"}]}`, "> bye", "< close 1000",
			}, "\n"))
			transporttest.Drain(t, s.Transport)
			source.check(t)
			if got := source.started.Load(); got != started {
				t.Errorf("started %d times", got)
			}
		})
	}
}

// panicking is a source whose Start and Close panic when they are done.
type panicking struct{ *steps }

func (p panicking) Start(ready func()) {
	p.steps.Start(ready)
	panic("secret")
}

func (p panicking) Close() {
	p.steps.Close()
	panic("secret")
}

func TestPushTakesNoSecondSourceAndNoneAfterTheStart(t *testing.T) {
	if Push(context.Background(), &steps{}) {
		t.Error("a source was taken for no operation")
	}
	synctest.Test(t, func(t *testing.T) {
		source := &steps{}
		executor := newScript()
		var operation context.Context
		executor.source = func(ctx context.Context) Source {
			operation = ctx
			return source
		}
		transport := New(Options{})
		conn := open(t, transport, executor)
		send(t, conn, subscribe("1", "push"))
		synctest.Wait()
		if operation.Err() == nil {
			t.Error("the context goes on")
		}
		if Push(operation, &steps{}) {
			t.Error("a source was taken for an operation that runs")
		}
		conn.Close()
		transporttest.Drain(t, transport)
		source.check(t)
	})
}

// A subscription that waits for its source keeps nothing of what it took to start it.
func TestSubscriptionThatWaitsKeepsOnlyItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		executor := newScript()
		var kept weak.Pointer[graphql.OperationContext]
		executor.source = func(ctx context.Context) Source {
			kept = weak.Make(graphql.GetOperationContext(ctx))
			return &steps{todo: []func() (*graphql.Response, error){give("1")}}
		}
		transport := New(Options{})
		conn := open(t, transport, executor)
		send(t, conn, subscribe("1", "push"))
		receive(t, conn)
		synctest.Wait()
		runtime.GC()
		if kept.Value() != nil {
			t.Error("the operation context is kept")
		}
		conn.Close()
		transporttest.Drain(t, transport)
	})
}

// state is a Source whose results replace each other, like those of most subscriptions.
type state struct {
	steps
	mu      sync.Mutex
	version int
	seen    int
	filler  string
}

func (s *state) set(version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = version
	if s.ready != nil {
		s.ready()
	}
}

func (s *state) Start(ready func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps.Start(ready)
}

func (s *state) Next() (*graphql.Response, error) {
	defer s.enter()()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == s.version {
		return nil, nil
	}
	s.seen = s.version
	data, err := json.Marshal(map[string]any{"version": s.version, "filler": s.filler})
	return &graphql.Response{Data: data}, err
}

func version(t testing.TB, message string) int {
	t.Helper()
	var next struct {
		Payload struct{ Data struct{ Version int } }
	}
	if err := json.NewDecoder(strings.NewReader(message)).Decode(&next); err != nil {
		t.Fatal(err)
	}
	return next.Payload.Data.Version
}
