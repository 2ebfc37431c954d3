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

// Errors makes what clients see of errors, counts it, and logs what is the server's own failure. A caller's mistake is
// logged for debugging only: callers can make any number of them.
type Errors struct {
	log  *slog.Logger
	told *prometheus.CounterVec
}

// NewErrors returns Errors that logs to log and whose metric is registered with r.
func NewErrors(log *slog.Logger, r prometheus.Registerer) *Errors {
	e := &Errors{log: log, told: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_graphql_errors_total",
		Help: "Errors that clients were told, by code (the ErrorCode of the schema).",
	}, []string{"code"})}
	r.MustRegister(e.told)
	return e
}

// internalMessage is what the caller learns of an internal error.
const internalMessage = "something went wrong inside; the server's log holds it"

// Present turns any error into the one that the caller sees, with a code from the schema's ErrorCode. What is not meant
// for the caller goes to the log. It is a graphql.ErrorPresenterFunc.
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
		failed = !canceled && ctx.Err() == nil // some deadline of the server's own
	case isRequestError(presented), isArgumentError(ctx):
		code, message, failed = usererr.BadInput, requestMessage(presented), false
	}
	e.Count(code)
	switch {
	case !failed, canceled && ctx.Err() != nil:
		e.log.DebugContext(ctx, "a request got an error", "code", code, "error", err)
	case isUser && user.Unwrap() == nil: // Recover has logged why
	case code == usererr.Internal:
		e.log.Log(ctx, onceAt(ctx, slog.LevelError, string(code)), "internal error", "error", err)
	default:
		e.log.Log(ctx, onceAt(ctx, slog.LevelWarn, string(code)), "a request failed", "code", code, "error", err)
	}
	return &gqlerror.Error{
		Message: message, Path: presented.Path, Locations: presented.Locations,
		Extensions: map[string]any{"code": code},
	}
}

// Count counts an error that a client is told without Present.
func (e *Errors) Count(code usererr.Code) { e.told.WithLabelValues(string(code)).Inc() }

// isRequestError reports whether gqlgen refused the request, the document or its variables. It makes such an error
// itself, whereas one that a resolver returned is wrapped.
func isRequestError(err *gqlerror.Error) bool { return err.Err == nil }

// requestMessage says which variable is wrong, which gqlgen tells in the path only, and is bounded: gqlgen quotes a
// request that it cannot read as a whole.
func requestMessage(err *gqlerror.Error) string {
	const longest = 1000
	message := err.Message
	if len(err.Path) > 0 {
		message = err.Path.String() + ": " + message
	}
	return pull.Truncate(message, longest)
}

// isArgumentError reports whether a field's arguments were being read when the error arose.
func isArgumentError(ctx context.Context) bool {
	field := graphql.GetFieldContext(ctx)
	return field != nil && field.Field.Field != nil && len(field.Field.Arguments) > 0 && field.Args == nil
}

// Recover turns a panic in a resolver into an error and logs where it came from. It is a graphql.RecoverFunc.
func (e *Errors) Recover(ctx context.Context, panicked any) error {
	e.log.Log(ctx, onceAt(ctx, slog.LevelError, "panic"), "panic in a resolver", "panic", panicked, "stack", string(debug.Stack()))
	return usererr.New(usererr.Internal, internalMessage)
}

type failedKey struct{}

// operation is an operation middleware. It has each kind of failure logged once for the operation: a client can ask for
// what fails a thousand times in one.
func (e *Errors) operation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
		return next(context.WithValue(ctx, failedKey{}, &sync.Map{}))
	}
	respond := next(ctx) // which executes nothing before the response is asked for
	return func(ctx context.Context) *graphql.Response {
		return respond(context.WithValue(ctx, failedKey{}, &sync.Map{}))
	}
}

// onceAt returns level for an operation's first failure of a kind, and that for debugging for all that follow.
func onceAt(ctx context.Context, level slog.Level, kind string) slog.Level {
	if failed, ok := ctx.Value(failedKey{}).(*sync.Map); ok {
		if _, again := failed.LoadOrStore(kind, nil); again {
			return slog.LevelDebug
		}
	}
	return level
}
