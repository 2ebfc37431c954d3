// Package caller carries who asks for an operation. The HTTP server decides who a client is, once for each connection, and
// stores it in the operation's context. The budget account of the operation has the same key.
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
