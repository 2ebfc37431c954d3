package resolvers

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/pull"
	"pullwatch/usererr"
)

// PresentError turns any error into the one that the caller sees, with a code from the schema's ErrorCode. What is not
// meant for the caller goes to the log.
func PresentError(ctx context.Context, err error) *gqlerror.Error {
	presented := graphql.DefaultErrorPresenter(ctx, err)
	code, message := usererr.Internal, "something went wrong inside; the server's log holds it"
	user, isUser := errors.AsType[*usererr.Error](err)
	switch {
	case isUser:
		code, message = user.Code, user.Message
		if cause := errors.Unwrap(user); cause != nil {
			slog.WarnContext(ctx, "a request failed", "code", code, "message", message, "error", cause)
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		code, message = usererr.Timeout, "the request ended before its answer was ready"
	case isRequestError(presented), isArgumentError(ctx):
		code, message = usererr.BadInput, requestMessage(presented)
	default:
		slog.ErrorContext(ctx, "internal error", "error", err)
	}
	return &gqlerror.Error{
		Message: message, Path: presented.Path, Locations: presented.Locations,
		Extensions: map[string]any{"code": code},
	}
}

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

// Recover turns a panic in a resolver into an error and logs where it came from.
func Recover(ctx context.Context, panicked any) error {
	slog.ErrorContext(ctx, "panic in a resolver", "panic", panicked, "stack", string(debug.Stack()))
	return usererr.New(usererr.Internal, "something went wrong inside; the server's log holds it")
}
