package graphqlhttp

import (
	"context"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/lru"
	"pullwatch/internal/serve/transport"
	"pullwatch/internal/usererr"
)

// A Transport serves GraphQL over HTTP. It can be used by several gqlgen servers, whose streams then share its limits.
type Transport struct {
	options  Options
	repeats  *lru.Cache[repeatKey, repeat]
	discards discards
	streams  *transport.Clients[*stream]
}

var _ graphql.Transport = (*Transport)(nil)

// New returns a Transport. It has no goroutines of its own. [Transport.Drain] ends its streams.
func New(o Options) *Transport {
	o = o.withDefaults()
	return &Transport{
		options: o, repeats: lru.New[repeatKey, repeat](maxRepeats), discards: newDiscards(),
		streams: transport.NewClients[*stream]("streams", o.MaxStreams, o.MaxStreamsPerCaller),
	}
}

// Supports reports true: this package refuses with a GraphQL error what it does not serve. So a Transport is the last one
// that a server is given.
func (t *Transport) Supports(*http.Request) bool { return true }

// Do answers the request. It returns when the response has been written, or its stream has ended.
func (t *Transport) Do(w http.ResponseWriter, r *http.Request, executor graphql.GraphExecutor) {
	e := &exchange{transport: t, executor: executor, w: w, r: r, memory: t.options.Memory(r)}
	defer e.memory.Close()
	if refused := e.serve(); refused != nil {
		e.refuse(refused)
	}
}

// exchange is a request and its response.
type exchange struct {
	transport *Transport
	executor  graphql.GraphExecutor
	w         http.ResponseWriter
	r         *http.Request
	accepted  accepted
	// memory is for what the request takes until the response has been written.
	memory *budget.Account
	// unshared is how many bytes the response takes that no other request shares.
	unshared int
	// repeatText is the text of the request, and repeatKey its key among the repeats. The text is empty if there is no
	// memory to keep it.
	repeatText string
	repeatKey  repeatKey
}

// safe reports whether the request may change nothing. A browser may cache its response.
func (e *exchange) safe() bool { return e.r.Method != http.MethodPost }

// serve answers the request, or returns why it is refused.
func (e *exchange) serve() *refusal {
	if refused := e.checkHeader(); refused != nil {
		return refused
	}
	if e.isOver() {
		e.respondOver()
		return nil
	}
	began := graphql.Now()
	text, refused := e.readText()
	if refused != nil {
		return refused
	}
	isBatch := !e.safe() && isBatch(text.bytes)
	if !isBatch && e.repeated(text.bytes) {
		text.putRequest()
		return nil
	}
	operations, refused := e.parse(text.bytes, isBatch, began)
	e.memory.Give(budget.Requests, text.counted)
	text.putRequest()
	if refused != nil {
		return refused
	}
	if isBatch {
		return e.batch(operations)
	}
	params := operations[0]
	o := &operation{lastEventID: lastEventID(e.r)}
	ctx := transport.WithOperation(graphql.StartOperationTrace(budget.With(e.r.Context(), e.memory)), o)
	prepared, failed := e.prepare(ctx, params)
	if failed != nil {
		if e.accepted.eventsFirst {
			return e.stream(ctx, eventFormat{}, o, func(ctx context.Context) (graphql.ResponseHandler, context.Context) {
				return graphql.OneShot(failed), ctx
			})
		}
		e.respond(failed)
		return nil
	}
	kind := prepared.Operation.Operation
	if refused := e.checkOperation(kind); refused != nil {
		return refused
	}
	if kind == ast.Subscription {
		o.streams, o.continues = true, true
		return e.stream(ctx, e.accepted.subscription(), o, e.dispatch(prepared))
	}
	if e.accepted.eventsFirst {
		o.streams = true
		return e.stream(ctx, eventFormat{}, o, e.dispatch(prepared))
	}
	response := e.execute(ctx, prepared)
	body, cached := o.reply()
	if cached != nil && len(response.Errors) == 0 {
		e.remember(prepared, cached)
	}
	if body != nil {
		e.respondBody(body)
	} else {
		e.respond(response)
	}
	return nil
}

// checkHeader returns why the request is refused for its method or header, or nil.
func (e *exchange) checkHeader() *refusal {
	switch e.r.Method {
	case http.MethodGet, http.MethodHead:
		// A browser sends it without asking this server first. Before a POST it asks (see checkContent).
		if !e.pageAllowed() {
			return e.refusePage()
		}
	case http.MethodPost:
		if refused := checkContent(e.r); refused != nil {
			return refused
		}
	default:
		return &refusal{
			status: http.StatusMethodNotAllowed, code: usererr.BadInput, allow: "GET, HEAD, POST",
			message: "send queries by GET or POST, mutations by POST",
		}
	}
	e.accepted = accept(e.r.Header["Accept"])
	if e.r.Method == http.MethodHead {
		e.accepted = accepted{single: e.accepted.single} // a stream would not end
	}
	if e.accepted.single == "" && e.accepted.subscription() == nil {
		return notAcceptable()
	}
	return nil
}

func notAcceptable() *refusal {
	return &refusal{
		status: http.StatusNotAcceptable, code: usererr.BadInput,
		message: "this server answers with " + typeJSON + ", " + typeResponse + " and " + typeEvents + ", and to subscriptions with " + typeMultipart + ";subscriptionSpec=1.0" + ": accept one of them",
	}
}

// checkOperation returns why the request may not run an operation of this kind, or nil.
func (e *exchange) checkOperation(kind ast.Operation) *refusal {
	switch {
	case kind == ast.Mutation && e.safe():
		return &refusal{
			status: http.StatusMethodNotAllowed, code: usererr.BadInput, allow: http.MethodPost,
			message: "a mutation is sent by POST",
		}
	case kind != ast.Subscription && e.accepted.single == "" && !e.accepted.events: // the client takes nothing but multipart, which is for subscriptions
		return notAcceptable()
	case kind == ast.Subscription && e.accepted.subscription() == nil:
		return &refusal{
			status: http.StatusNotAcceptable, code: usererr.BadInput,
			message: "a subscription needs a WebSocket, or a request with Accept: " + typeEvents + " or " + typeMultipart + ";subscriptionSpec=1.0",
		}
	}
	return nil
}

// prepare makes the operation of the request, or the response that says why there is none.
func (e *exchange) prepare(ctx context.Context, params *graphql.RawParams) (
	prepared *graphql.OperationContext, failed *graphql.Response,
) {
	failed = e.guard(ctx, func() *graphql.Response {
		var errs gqlerror.List
		if prepared, errs = e.executor.CreateOperationContext(ctx, params); len(errs) > 0 {
			if presented := e.executor.DispatchError(graphql.WithOperationContext(ctx, prepared), errs); presented != nil {
				return presented
			}
			return &graphql.Response{Errors: errs}
		}
		return nil
	})
	return prepared, failed
}

// dispatch starts an operation.
type dispatch func(context.Context) (graphql.ResponseHandler, context.Context)

// dispatch returns how to start an operation.
func (e *exchange) dispatch(prepared *graphql.OperationContext) dispatch {
	return func(ctx context.Context) (graphql.ResponseHandler, context.Context) {
		return e.executor.DispatchOperation(ctx, prepared)
	}
}

// execute runs an operation that has a single response, and returns that.
func (e *exchange) execute(ctx context.Context, prepared *graphql.OperationContext) *graphql.Response {
	response := e.guard(ctx, func() *graphql.Response {
		responses, ctx := e.executor.DispatchOperation(ctx, prepared)
		return responses(ctx)
	})
	if response == nil {
		return ended().response()
	}
	return response
}

// ended returns the refusal of an operation whose request has ended.
func ended() *refusal {
	return &refusal{code: usererr.Timeout, message: "the request ended before its answer was ready"}
}

// guard calls f. If f panics, it returns what the client sees of the panic.
func (e *exchange) guard(ctx context.Context, f func() *graphql.Response) (response *graphql.Response) {
	defer func() {
		panicked := recover()
		if panicked == nil {
			return
		}
		if err := transport.PresentPanic(ctx, e.executor, panicked); err != nil {
			response = &graphql.Response{Errors: gqlerror.List{err}}
			return
		}
		response = (&refusal{code: usererr.Internal, message: "internal system error"}).response()
	}()
	return f()
}
