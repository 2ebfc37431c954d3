// Package caller says whom an operation counts for in the limits that each caller has: memory, turns, connections,
// operations, streams of logs. The HTTP server decides that once for each connection, and stores it in the context of the
// connection's operations.
package caller

import "context"

// Caller is whom an operation counts for. The zero value is a caller of whom nothing is known.
type Caller struct {
	// Address is the key of the limits: the client's IP address, with IPv6 its network of 64 bits. All clients behind one
	// proxy have the same.
	Address string
}

type key struct{}

// With returns a context for operations of c.
func With(ctx context.Context, c Caller) context.Context { return context.WithValue(ctx, key{}, c) }

// From returns the Caller that With has stored, or the zero value.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(key{}).(Caller)
	return c
}
