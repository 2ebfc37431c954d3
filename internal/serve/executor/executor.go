// Package executor executes the operations of requests. It is gqlgen's executor with four steps before it, for all
// transports:
//
//   - A trusted document or a persisted query is looked up by its id. Other documents may be refused.
//   - The document is looked up in a cache. If it is not cached, it is parsed and validated, within the limits of limits.go.
//     Long documents take turns by caller.
//   - Nulls that stand for defaults are removed from the document and the variables.
//   - The operation's complexity is compared with the limit.
//
// Then the operation is counted, admitted if fewer than MaxOperations run, and given to the middleware and gqlgen. Errors
// decides what clients see of an error, and logs the rest.
package executor

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	gqlgen "github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
	"pullwatch/internal/caller"
	"pullwatch/internal/serve/transport"
	"pullwatch/internal/serve/trusted"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
)

// Options say what is executed and within which limits. All are required but Middleware and Trusted.
type Options struct {
	Schema graphql.ExecutableSchema
	// Errors presents all errors, also those of Middleware.
	Errors *Errors
	// Middleware is around the execution of each operation, or nil.
	Middleware graphql.OperationMiddleware
	// ActivePulls returns about how many active pulls there are.
	ActivePulls func() int
	// MaxOperations is how many queries and mutations may be executed at a time.
	MaxOperations int
	// Introspection says that clients may ask for the schema.
	Introspection bool
	// Trusted are the trusted documents, nil for none. With OnlyTrusted, no other is executed.
	Trusted     *trusted.Documents
	OnlyTrusted bool
	// CachedDocuments bounds the cache of documents, in bytes.
	CachedDocuments int
	// Turns are for parsing long documents.
	Turns   *turns.Turns
	Metrics *Metrics
}

// Executor is a graphql.GraphExecutor. Any number of goroutines may use it.
type Executor struct {
	*gqlgen.Executor
	documents *documents
	named     *namedDocuments
	metrics   *Metrics
}

// New returns an Executor with an empty cache of documents.
func New(o Options) *Executor {
	e := &Executor{
		Executor:  gqlgen.New(o.Schema),
		documents: newDocuments(o),
		named:     newNamedDocuments(o.Trusted, o.OnlyTrusted),
		metrics:   o.Metrics,
	}
	e.SetQueryCache(foundDocument{})
	e.SetErrorPresenter(o.Errors.Present)
	e.SetRecoverFunc(o.Errors.Recover)
	e.Use(extension.Introspection{}) // documents refuses it where it is switched off
	e.AroundOperations(o.Metrics.operation)
	e.AroundOperations((&running{limit: o.MaxOperations, present: o.Errors.Present, callers: map[string]int{}}).admit)
	e.AroundOperations(o.Errors.operation)
	if o.Middleware != nil {
		e.AroundOperations(o.Middleware)
	}
	return e
}

// CreateOperationContext makes the operation of a request, or returns why there is none.
func (e *Executor) CreateOperationContext(
	ctx context.Context, params *graphql.RawParams,
) (*graphql.OperationContext, gqlerror.List) {
	operation, errs := e.prepare(ctx, params)
	if operation == nil {
		operation = &graphql.OperationContext{RawQuery: params.Query, OperationName: params.OperationName}
	}
	return operation, errs
}

func (e *Executor) prepare(ctx context.Context, params *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	trust, store, errs := e.named.resolve(params)
	e.named.trusted.Count(trust)
	if errs != nil {
		return nil, errs
	}
	found, errs := e.documents.find(ctx, params.Query, budget.From(ctx))
	if errs != nil {
		return nil, errs
	}
	store()
	named := found.Operations.ForName(params.OperationName)
	if named == nil {
		return nil, noOperation(found, params.OperationName)
	}
	if err := readVariables(e.documents.schema.Schema(), named, params.Variables); err != nil {
		return nil, gqlerror.List{err}
	}
	operation, errs := e.Executor.CreateOperationContext(context.WithValue(ctx, documentKey{}, found), params)
	if errs == nil {
		operation.Stats.SetExtension(transport.StatDocument, trust)
		withoutNulls(operation.Variables)
		errs = e.documents.checkComplexity(ctx, found, operation)
	}
	if errs == nil {
		errs = checkSubscription(operation)
	}
	return operation, errs
}

// DispatchError makes the response to a request whose operation is not executed.
func (e *Executor) DispatchError(ctx context.Context, errs gqlerror.List) *graphql.Response {
	response := e.Executor.DispatchError(ctx, errs)
	e.metrics.refused(response.Errors)
	return response
}

func noOperation(in *document, name string) gqlerror.List {
	if name == "" {
		return refusal(usererr.BadInput, "the document has %d operations: name one of them in operationName",
			len(in.Operations))
	}
	return refusal(usererr.BadInput, "the document has no operation of the name that is in operationName")
}

// checkSubscription refuses a subscription to several fields: gqlgen would execute only the first.
func checkSubscription(o *graphql.OperationContext) gqlerror.List {
	if o.Operation.Operation != ast.Subscription {
		return nil
	}
	if fields := graphql.CollectFields(o, o.Operation.SelectionSet, []string{"Subscription"}); len(fields) != 1 {
		return refusal(usererr.BadInput, "a subscription has exactly one field; open one for each")
	}
	return nil
}

// running counts the queries and mutations that run or wait for their turn, by caller.
type running struct {
	limit   int
	present graphql.ErrorPresenterFunc

	mu  sync.Mutex
	now int
	// callers has the number of each caller, by its Address.
	callers map[string]int
}

// admit is an operation middleware. It refuses operations above the limit: a queue would hold memory. A caller may run at
// most as many operations as then stay free for others.
func (r *running) admit(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
		return next(ctx)
	}
	respond := next(ctx)
	refused := false
	return func(ctx context.Context) *graphql.Response {
		if refused {
			return nil
		}
		address := caller.From(ctx).Address
		if err := r.begin(address); err != nil {
			refused = true
			return &graphql.Response{Errors: gqlerror.List{r.present(ctx, err)}}
		}
		defer r.end(address)
		return respond(ctx)
	}
}

func (r *running) begin(caller string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.now >= r.limit:
		return usererr.New(usererr.Unavailable, "the server executes %d operations already; try again in a moment", r.limit)
	case r.callers[caller] > r.limit-r.now-1:
		return usererr.New(usererr.Unavailable, "the server executes %d operations of your address already; try again in a moment",
			r.callers[caller])
	}
	r.now++
	r.callers[caller]++
	return nil
}

func (r *running) end(caller string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now--
	if r.callers[caller]--; r.callers[caller] == 0 {
		delete(r.callers, caller)
	}
}
