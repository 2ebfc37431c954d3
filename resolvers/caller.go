package resolvers

import "context"

type callerKey struct{}

// WithCaller returns a context for operations of caller, who is whom the limits of each caller count: until callers
// have an identity, the address of a client.
func WithCaller(ctx context.Context, caller string) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// Caller returns what WithCaller was given; empty when the caller is not known.
func Caller(ctx context.Context) string {
	caller, _ := ctx.Value(callerKey{}).(string)
	return caller
}
