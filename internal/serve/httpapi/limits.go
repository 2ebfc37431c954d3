package httpapi

import "time"

// Limits say how much clients may ask for. All are positive unless it says otherwise.
type Limits struct {
	// PingInterval is how often WebSockets are pinged, PongWait how long their clients may be silent, which is longer.
	PingInterval, PongWait time.Duration
	// WriteTimeout is how long the reader of a WebSocket or a stream may take to accept what is sent.
	WriteTimeout time.Duration
	// InitTimeout is how long the client of a WebSocket may take to send connection_init.
	InitTimeout time.Duration
	// MaxConnections is how many WebSockets there may be, and how many streams of server-sent events;
	// MaxConnectionsPerAddress how many of each one client address may have, 0 for MaxConnections.
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
