package executor

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// Errors decides what clients see of an error, counts it, and logs failures of the server. Mistakes of clients are logged at
// level debug only: clients can make any number of them.
type Errors struct {
	logger *slog.Logger
	sent   *prometheus.CounterVec
}

// NewErrors returns Errors that writes to logger and registers its metric with r.
func NewErrors(logger *slog.Logger, r prometheus.Registerer) *Errors {
	e := &Errors{logger: logger, sent: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_graphql_errors_total",
		Help: "Errors that clients were told, by code (the ErrorCode of the schema).",
	}, []string{"code"})}
	r.MustRegister(e.sent)
	return e
}

// internalMessage is what a client sees of an internal error.
const internalMessage = "something went wrong inside; the server's log holds it"

// Present turns any error into the one that the client sees, with a code of the schema's ErrorCode. It logs what the client
// must not see. It is a graphql.ErrorPresenterFunc.
func (e *Errors) Present(ctx context.Context, err error) *gqlerror.Error {
	presented := graphql.DefaultErrorPresenter(ctx, err)
	code, message, failed := usererr.Internal, internalMessage, true
	user, isUser := errors.AsType[*usererr.Error](err)
	canceled := errors.Is(err, context.Canceled)
	switch {
	case isUser:
		code, message, failed = user.Code, user.Message, user.IsFailure()
	case canceled, errors.Is(err, context.DeadlineExceeded):
		code, message = usererr.Timeout, "the request ended before its answer was ready"
		failed = !canceled && ctx.Err() == nil // a deadline that the server has set
	case isRequestError(presented), isArgumentError(ctx):
		code, message, failed = usererr.BadInput, requestMessage(presented), false
	}
	e.Count(code)
	switch {
	case !failed, canceled && ctx.Err() != nil:
		e.logger.DebugContext(ctx, "a request got an error", "code", code, "error", err)
	case isUser && user.Unwrap() == nil: // Recover has logged the panic
	case code == usererr.Internal:
		e.logger.Log(ctx, onceAt(ctx, slog.LevelError, string(code)), "internal error", "error", err)
	default:
		e.logger.Log(ctx, onceAt(ctx, slog.LevelWarn, string(code)), "a request failed", "code", code, "error", err)
	}
	return &gqlerror.Error{
		Message: message, Path: presented.Path, Locations: presented.Locations,
		Extensions: map[string]any{"code": code},
	}
}

// Count counts an error that a client gets without Present.
func (e *Errors) Count(code usererr.Code) { e.sent.WithLabelValues(string(code)).Inc() }

// isRequestError reports whether gqlgen refused the request, the document or its variables. Such an error wraps none, whereas
// gqlgen wraps errors of resolvers.
func isRequestError(err *gqlerror.Error) bool { return err.Err == nil }

// requestMessage returns the message of a request error. It adds the name of a wrong variable, which gqlgen has in the path
// only. It is bounded, because gqlgen quotes the whole of a request that it cannot read.
func requestMessage(err *gqlerror.Error) string {
	const longest = 1000
	message := err.Message
	if len(err.Path) > 0 {
		message = err.Path.String() + ": " + message
	}
	return pull.Truncate(message, longest)
}

// isArgumentError reports whether the error came while gqlgen read the arguments of a field.
func isArgumentError(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	return field != nil && field.Field.Field != nil && len(field.Field.Arguments) > 0 && field.Args == nil
}

// Recover turns a panic in a resolver into an error, and logs the panic with its stack. It is a graphql.RecoverFunc.
func (e *Errors) Recover(ctx context.Context, panicked any) error {
	e.logger.Log(ctx, onceAt(ctx, slog.LevelError, "panic"), "panic in a resolver", "panic", panicked, "stack", string(debug.Stack()))
	return usererr.New(usererr.Internal, internalMessage)
}

type failuresKey struct{}

// operation is an operation middleware. It makes Present log each kind of failure once for an operation, which may select a
// failing field a thousand times.
func (e *Errors) operation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
		return next(context.WithValue(ctx, failuresKey{}, &sync.Map{}))
	}
	respond := next(ctx) // executes nothing before respond is called
	return func(ctx context.Context) *graphql.Response {
		return respond(context.WithValue(ctx, failuresKey{}, &sync.Map{}))
	}
}

// onceAt returns level for the first failure of a kind in an operation, and slog.LevelDebug for later ones.
func onceAt(ctx context.Context, level slog.Level, kind string) slog.Level {
	if failed, ok := ctx.Value(failuresKey{}).(*sync.Map); ok {
		if _, again := failed.LoadOrStore(kind, nil); again {
			return slog.LevelDebug
		}
	}
	return level
}
