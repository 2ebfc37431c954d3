// Package caller says who asks for an operation. The server notes it once for each connection, and all that counts or
// limits by client reads it from the operation's context.
package caller

import "context"

// Caller is who asks for an operation. The zero value is a caller of whom nothing is known.
type Caller struct {
	// Address is the key of the per-client limits: the client's IP address, with IPv6 its network of 64 bits.
	Address string
}

type key struct{}

// With returns a context for operations of c.
func With(ctx context.Context, c Caller) context.Context { return context.WithValue(ctx, key{}, c) }

// From returns what With was given; the zero Caller without that.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(key{}).(Caller)
	return c
}
