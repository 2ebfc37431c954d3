package render

import (
	"context"
	"encoding/json"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/serve/graphqlhttp"
)

// queryKey is the key of the cached queries. Queries with the same key get the same response for the same lists.
type queryKey struct{ document, operation, variables string }

// cachedQuery is what is cached of a query.
type cachedQuery struct {
	reads reads

	mu     sync.Mutex
	last   *rendering
	pieces *pieces // of the last response that is kept; nil if it has none
}

// rendering is the response to a query for one generation of the lists.
type rendering struct {
	generation generation
	// done is closed when the others are set. They stay nil if the response is not to be shared.
	done     chan struct{}
	response *graphql.Response
	body     *graphqlhttp.Body
}

// query answers a query with what was rendered before, or renders it.
func (r *Renderer) query(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx)
	variables, err := json.Marshal(operation.Variables)
	if err != nil {
		return next(ctx)
	}
	q := queryKey{operation.RawQuery, operation.OperationName, string(variables)}
	a, known := r.responses.Get(q)
	if !known {
		a = &cachedQuery{reads: readsOf(operation)}
		if a.reads.alone {
			a = r.responses.GetOrAdd(q, a, q.weight(0))
		}
	}
	answered := false
	return func(ctx context.Context) *graphql.Response {
		if answered {
			return nil // as gqlgen ends what is no subscription
		}
		answered = true
		return r.respond(ctx, next, q, a)
	}
}

func (r *Renderer) respond(ctx context.Context, next graphql.OperationHandler, q queryKey, a *cachedQuery) *graphql.Response {
	v := look(ctx, r.options.Lists, a.reads)
	if v == nil {
		return next(ctx)(ctx)
	}
	ctx = context.WithValue(ctx, viewKey{}, v)
	extensions := v.extensions(a.reads)
	g, ok := v.generation()
	if !a.reads.alone { // it may wait
		r.options.Metrics.passed.Inc()
		return extended(next(ctx)(ctx), extensions)
	}
	if !ok {
		return r.pass(ctx, next, extensions)
	}
	if a.made(g) == nil {
		// Everybody waits for his own turn. Who made another one's response in his turn would keep the other waiting.
		end, err := r.awaitTurn(ctx, a, v)
		if err != nil {
			return r.refused(ctx, err)
		}
		defer end()
	}
	shown, known := a.rendering(g)
	if !known {
		response := r.render(ctx, next, q, a, v, shown)
		if shown.response == nil {
			return extended(response, extensions)
		}
	}
	select {
	case <-shown.done:
	case <-ctx.Done():
		return r.pass(ctx, next, extensions)
	}
	if shown.response == nil {
		return r.pass(ctx, next, extensions)
	}
	if known {
		r.options.Metrics.responses.hits.Inc()
	}
	if extensions == nil {
		graphqlhttp.Reply(ctx, shown.body)
		graphqlhttp.Repeat(ctx, func(context.Context) *graphqlhttp.Body { return r.cached(q) })
	}
	return extended(shown.response, extensions)
}

// atOnce is the context of reads that do not wait: it has ended.
var atOnce = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// cached returns the stored response to q without waiting. It returns nil if there is none for the current lists, or if
// the lists are stale. The caller then runs the query, under the usual limits.
func (r *Renderer) cached(q queryKey) *graphqlhttp.Body {
	a, ok := r.responses.Get(q)
	if !ok {
		return nil
	}
	v := look(atOnce, r.options.Lists, a.reads)
	if v == nil || v.extensions(a.reads) != nil {
		return nil
	}
	g, ok := v.generation()
	if !ok {
		return nil
	}
	shown := a.made(g)
	if shown == nil {
		return nil
	}
	r.options.Metrics.responses.hits.Inc()
	return shown.body
}

// pass executes a query for one client.
func (r *Renderer) pass(ctx context.Context, next graphql.OperationHandler, extensions map[string]any) *graphql.Response {
	r.options.Metrics.passed.Inc()
	response, err := r.run(ctx, next, 1, 1)
	if err != nil {
		return r.refused(ctx, err)
	}
	return extended(response, extensions)
}

// extended returns a response with extensions, if there are any; it does not change the response that it is given.
func extended(response *graphql.Response, extensions map[string]any) *graphql.Response {
	if response == nil || extensions == nil {
		return response
	}
	longer := *response
	longer.Extensions = extensions
	return &longer
}

// rendering returns the query's rendering for g, which may be under way. If it is not known, the caller has to make it.
func (a *cachedQuery) rendering(g generation) (_ *rendering, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last != nil && a.last.generation == g {
		return a.last, true
	}
	a.last = &rendering{generation: g, done: make(chan struct{})}
	return a.last, false
}

// made returns the query's rendering for g if it has been made and is to be shared, or else nil.
func (a *cachedQuery) made(g generation) *rendering {
	a.mu.Lock()
	shown := a.last
	a.mu.Unlock()
	if shown == nil || shown.generation != g {
		return nil
	}
	select {
	case <-shown.done:
	default:
		return nil
	}
	if shown.body == nil {
		return nil
	}
	return shown
}

// render executes a query and keeps the response, unless it holds an error. What could not be shared is not tried
// again before the lists have changed, unless it was the client who gave up.
func (r *Renderer) render(
	ctx context.Context, next graphql.OperationHandler, q queryKey, a *cachedQuery, v *view, shown *rendering,
) (response *graphql.Response) {
	var refused error
	defer func() {
		if shown.response == nil && (response == nil || refused != nil || ctx.Err() != nil) {
			a.forget(shown)
		}
		close(shown.done)
	}()
	r.options.Metrics.responses.rendered.Inc()
	began := time.Now()
	if a.reads.only != "" {
		response, refused = r.renderList(ctx, next, a, v)
	} else {
		response, refused = r.run(ctx, next, 1, 1)
	}
	if refused != nil {
		return r.refused(ctx, refused)
	}
	r.options.Metrics.responses.seconds.Observe(time.Since(began).Seconds())
	if response == nil || len(response.Errors) > 0 || len(response.Extensions) > 0 || !utf8.Valid(response.Data) {
		return response
	}
	shown.body, shown.response = share(response)
	size := shown.body.Size()
	if a.reads.only != "" {
		jobs := v.active.result.States
		a.keepPieces(cut(shown.response, a.reads.only, jobs))
		size += bytesPerPiece * len(jobs)
	}
	r.responses.Add(q, a, q.weight(size))
	return shown.response
}

func (a *cachedQuery) forget(failed *rendering) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == failed {
		a.last = nil
	}
}

// share returns the response twice, in forms that share their memory.
func share(response *graphql.Response) (*graphqlhttp.Body, *graphql.Response) {
	const before, after = `{"data":`, `}`
	text := make([]byte, 0, len(before)+len(response.Data)+len(after))
	text = append(append(append(text, before...), response.Data...), after...)
	return graphqlhttp.NewBody(text), &graphql.Response{Data: text[len(before) : len(text)-len(after)]}
}

// weight is what a cached query takes in memory if its body has so many bytes. The gzip form, which may come later, is
// shorter than the body.
func (q queryKey) weight(body int) int {
	const fixed = 500
	return fixed + len(q.document) + len(q.operation) + len(q.variables) + 2*body
}
