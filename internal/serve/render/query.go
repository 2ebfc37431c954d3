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

// queryKey is the key of the cached queries. Queries with the same key have the same response for the same lists.
type queryKey struct{ document, operation, variables string }

// cachedQuery is a query and its last response.
type cachedQuery struct {
	reads reads

	mu     sync.Mutex
	last   *rendering
	pieces *pieces // of the last shared response, or nil
}

// rendering is the response to a query for one generation of the lists, which is being rendered or has been.
type rendering struct {
	generation generation
	// done is closed when the others are set. They stay nil if the response must not be shared.
	done     chan struct{}
	response *graphql.Response
	body     *graphqlhttp.Body
	weight   int // of the cached query with this response, in bytes

	stale staleBody
}

// query answers a query with the cached response for the current lists, or renders that.
func (r *Renderer) query(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx)
	variables, err := json.Marshal(operation.Variables)
	if err != nil {
		return next(ctx)
	}
	key := queryKey{operation.RawQuery, operation.OperationName, string(variables)}
	c, cached := r.responses.Get(key)
	if !cached {
		c = &cachedQuery{reads: readsOf(operation)}
		if c.reads.listsOnly {
			c = r.responses.GetOrAdd(key, c, key.weight(0))
		}
	}
	answered := false
	return func(ctx context.Context) *graphql.Response {
		if answered {
			return nil // the end, for gqlgen
		}
		answered = true
		return r.respond(ctx, next, key, c)
	}
}

func (r *Renderer) respond(ctx context.Context, next graphql.OperationHandler, key queryKey, c *cachedQuery) *graphql.Response {
	v := readLists(ctx, r.options.Lists, c.reads)
	if v == nil {
		return next(ctx)(ctx)
	}
	ctx = context.WithValue(ctx, viewKey{}, v)
	old := v.staleness()
	extensions := old.extensions(c.reads)
	g, ok := v.generation()
	if !c.reads.listsOnly { // its resolvers may wait
		r.options.Metrics.passed.Inc()
		return extended(next(ctx)(ctx), extensions)
	}
	if !ok {
		return r.executeUnshared(ctx, next, extensions)
	}
	if c.shared(g) == nil {
		// Each client waits for its own turn. If one rendered in its turn what another waits for, the other would depend on
		// the turns of the first.
		end, err := r.awaitTurn(ctx, c, v)
		if err != nil {
			return r.refused(ctx, err)
		}
		defer end()
	}
	rendering, exists := c.rendering(g)
	if !exists {
		response := r.render(ctx, next, key, c, v, rendering)
		if rendering.response == nil {
			return extended(response, extensions)
		}
	}
	select {
	case <-rendering.done:
	case <-ctx.Done():
		return r.executeUnshared(ctx, next, extensions)
	}
	if rendering.response == nil {
		return r.executeUnshared(ctx, next, extensions)
	}
	if exists {
		r.options.Metrics.responses.hits.Inc()
	}
	if body := r.body(key, c, rendering, old); body != nil {
		graphqlhttp.Reply(ctx, body)
		graphqlhttp.Repeat(ctx, func(context.Context) *graphqlhttp.Body { return r.cached(key) })
	}
	return extended(rendering.response, extensions)
}

// withoutWaiting is the context of reads that must not wait: it has ended.
var withoutWaiting = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// cached returns the cached response to a query, without waiting. It returns nil if there is none for the current lists. Then
// the query is executed, under the usual limits.
func (r *Renderer) cached(key queryKey) *graphqlhttp.Body {
	c, ok := r.responses.Get(key)
	if !ok {
		return nil
	}
	v := readLists(withoutWaiting, r.options.Lists, c.reads)
	if v == nil {
		return nil
	}
	g, ok := v.generation()
	if !ok {
		return nil
	}
	rendering := c.shared(g)
	if rendering == nil {
		return nil
	}
	body := r.body(key, c, rendering, v.staleness())
	if body != nil {
		r.options.Metrics.responses.hits.Inc()
	}
	return body
}

// executeUnshared executes a query for one client.
func (r *Renderer) executeUnshared(ctx context.Context, next graphql.OperationHandler, extensions map[string]any) *graphql.Response {
	r.options.Metrics.passed.Inc()
	response, err := r.execute(ctx, next, 1, 1)
	if err != nil {
		return r.refused(ctx, err)
	}
	return extended(response, extensions)
}

// extended returns response with extensions, in a copy if there are any.
func extended(response *graphql.Response, extensions map[string]any) *graphql.Response {
	if response == nil || extensions == nil {
		return response
	}
	longer := *response
	longer.Extensions = extensions
	return &longer
}

// rendering returns the query's rendering for g, which may not be done. It adds one if none exists. Then it has to be rendered.
func (c *cachedQuery) rendering(g generation) (_ *rendering, exists bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.last.generation == g {
		return c.last, true
	}
	c.last = &rendering{generation: g, done: make(chan struct{})}
	return c.last, false
}

// shared returns the query's rendering for g if it is done and may be shared, otherwise nil.
func (c *cachedQuery) shared(g generation) *rendering {
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if last == nil || last.generation != g {
		return nil
	}
	select {
	case <-last.done:
	default:
		return nil
	}
	if last.body == nil {
		return nil
	}
	return last
}

// render executes a query and caches the response, unless it holds an error. A response that cannot be shared is not
// rendered again for the same lists, unless the client has left or there was no room for it.
func (r *Renderer) render(
	ctx context.Context, next graphql.OperationHandler, key queryKey, c *cachedQuery, v *view, into *rendering,
) (response *graphql.Response) {
	var refused error
	defer func() {
		if into.response == nil && (response == nil || refused != nil || ctx.Err() != nil) {
			c.forget(into)
		}
		close(into.done)
	}()
	r.options.Metrics.responses.rendered.Inc()
	began := time.Now()
	if c.reads.activeList != "" {
		response, refused = r.renderList(ctx, next, c, v)
	} else {
		response, refused = r.execute(ctx, next, 1, 1)
	}
	if refused != nil {
		return r.refused(ctx, refused)
	}
	r.options.Metrics.responses.seconds.Observe(time.Since(began).Seconds())
	if response == nil || len(response.Errors) > 0 || len(response.Extensions) > 0 || !utf8.Valid(response.Data) {
		return response
	}
	into.body, into.response = share(response)
	size := into.body.Size()
	if c.reads.activeList != "" {
		states := v.active.result.States
		c.setPieces(cut(into.response, c.reads.activeList, states))
		size += bytesPerPiece * len(states)
	}
	into.weight = key.weight(size)
	r.responses.Add(key, c, into.weight)
	return into.response
}

// forget removes a rendering that has failed, so that the next client renders it again.
func (c *cachedQuery) forget(failed *rendering) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == failed {
		c.last = nil
	}
}

// share returns the response as a Body and as a Response. Both have the same memory.
func share(response *graphql.Response) (*graphqlhttp.Body, *graphql.Response) {
	const before, after = `{"data":`, `}`
	text := make([]byte, 0, len(before)+len(response.Data)+len(after))
	text = append(append(append(text, before...), response.Data...), after...)
	return graphqlhttp.NewBody(text), &graphql.Response{Data: text[len(before) : len(text)-len(after)]}
}

// weight returns how many bytes of memory a cached query takes. body is the length of its body. The compressed form, which
// may be made later, is shorter than that.
func (k queryKey) weight(body int) int {
	const fixed = 500
	return fixed + len(k.document) + len(k.operation) + len(k.variables) + 2*body
}
