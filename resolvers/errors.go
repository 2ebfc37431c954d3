package resolvers

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/gqlerror"

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
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		code, message = usererr.Timeout, "the request ended before its answer was ready"
	case isProtocolError(presented), isArgumentError(ctx):
		code, message = usererr.BadInput, presented.Message
	default:
		slog.ErrorContext(ctx, "internal error", "error", err)
	}
	return &gqlerror.Error{
		Message: message, Path: presented.Path, Locations: presented.Locations,
		Extensions: map[string]any{"code": code},
	}
}

// isProtocolError reports whether gqlgen refused the document or its variables.
func isProtocolError(err *gqlerror.Error) bool {
	switch err.Extensions["code"] {
	case errcode.ParseFailed, errcode.ValidationFailed:
		return true
	}
	return err.Rule != ""
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
