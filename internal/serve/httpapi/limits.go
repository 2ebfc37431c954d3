package httpapi

import "time"

// Limits are what clients may take. All have to be positive, unless their comment says otherwise.
type Limits struct {
	// PingInterval is how often WebSockets are pinged. PongWait is how long their clients may be silent, which is longer.
	PingInterval, PongWait time.Duration
	// WriteTimeout is how long the client of a WebSocket or a stream may take to accept what is sent to it.
	WriteTimeout time.Duration
	// InitTimeout is how long the client of a WebSocket may take to send connection_init.
	InitTimeout time.Duration
	// MaxConnections is how many WebSockets there may be, and how many streams of server-sent events.
	// MaxConnectionsPerAddress is how many of each a caller may have, 0 for MaxConnections.
	MaxConnections, MaxConnectionsPerAddress int
	// MaxSubscriptions is how many operations a WebSocket may run at a time.
	MaxSubscriptions int
	// MaxMessage is the longest message that a client may send over a WebSocket, in bytes.
	MaxMessage int
	// MaxOperations is how many queries and mutations may be executed at a time.
	MaxOperations int
	// Introspection says that clients may ask for the schema.
	Introspection bool
}
