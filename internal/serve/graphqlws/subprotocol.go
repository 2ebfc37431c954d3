package graphqlws

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/gorilla/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/transport"
)

// Names of the protocols in Sec-WebSocket-Protocol.
const (
	Subprotocol       = "graphql-transport-ws"
	LegacySubprotocol = "graphql-ws"
)

// subprotocol is what differs between the protocols in the messages of a connection.
type subprotocol struct {
	name string
	// kinds are the types of messages that a client sends.
	kinds map[string]kind
	// result is the type of a message with a result.
	result string
	// encodeErrors returns the payload of error. There is at least one error.
	encodeErrors func(gqlerror.List) []byte
	// legacy: the server sends ka, and says in connection_error why it closes the connection.
	legacy bool
}

// kind is what a message of a client is for.
type kind int

const (
	kindInit kind = iota + 1
	kindSubscribe
	kindComplete
	kindPing
	kindPong
	kindTerminate
)

var current = &subprotocol{
	name: Subprotocol,
	kinds: map[string]kind{
		"connection_init": kindInit, "subscribe": kindSubscribe, "complete": kindComplete, "ping": kindPing, "pong": kindPong,
	},
	result:       "next",
	encodeErrors: transport.EncodeErrors,
}

var legacy = &subprotocol{
	name: LegacySubprotocol,
	kinds: map[string]kind{
		"connection_init": kindInit, "start": kindSubscribe, "stop": kindComplete, "connection_terminate": kindTerminate,
	},
	result: "data",
	// The payload is one error, not a list. Clients in Swift and Kotlin read only an object.
	encodeErrors: func(errs gqlerror.List) []byte {
		list := transport.EncodeErrors(errs[:1])
		return list[1 : len(list)-1]
	},
	legacy: true,
}

// subprotocolOf returns the protocol with this name. An empty name is that of a client that offers none. For other names ok
// is false: then the connection is only closed.
func subprotocolOf(name string) (p *subprotocol, ok bool) {
	switch name {
	case Subprotocol:
		return current, true
	case LegacySubprotocol, "":
		return legacy, true
	}
	return current, false
}

// choose returns the name of the protocol for a connection, of those that the request offers. It is empty if the request
// offers none. If this package speaks none of them, it is the first: a browser reads the close frame, with the reason, only
// if the server has chosen one of the offered protocols.
func choose(r *http.Request) string {
	offered := slices.DeleteFunc(websocket.Subprotocols(r), func(name string) bool { return name == "" })
	for _, name := range []string{Subprotocol, LegacySubprotocol} {
		if slices.Contains(offered, name) {
			return name
		}
	}
	if len(offered) == 0 {
		return ""
	}
	return offered[0]
}

// errorPayload returns the payload of connection_error.
func errorPayload(cause *CloseError) []byte {
	text, err := json.Marshal(map[string]string{"message": cause.Reason})
	if err != nil {
		panic(err) // a string can always be encoded
	}
	return text
}
