package graphqlws

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"
)

// Types of messages that a client sends.
const (
	typeInit      = "connection_init"
	typeSubscribe = "subscribe"
	typeComplete  = "complete"
	typePing      = "ping"
	typePong      = "pong"
)

// message is what a client has sent.
type message struct {
	kind string
	id   string // of subscribe and complete, never empty
	// payload is a JSON object, or nil if there was none.
	payload json.RawMessage
}

// parseMessage reads one message and checks all that can be checked without knowing the connection. Objects are read as
// maps, because encoding/json would take the names of a struct's fields in any case.
func parseMessage(text []byte) (message, error) {
	if !utf8.Valid(text) {
		return message{}, &CloseError{websocket.CloseInvalidFramePayloadData, "the message is not UTF-8"}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		return message{}, badRequest("the message is not a JSON object")
	}
	m := message{}
	kind, ok := readString(fields["type"])
	if !ok {
		return message{}, badRequest(`the message has no "type", or one that is not a string`)
	}
	m.kind = kind
	switch kind {
	case typeSubscribe, typeComplete:
		if m.id, ok = readString(fields["id"]); !ok || m.id == "" {
			return message{}, badRequest(`%s needs an "id": a string that is not empty`, kind)
		}
	case typeInit, typePing, typePong:
	default:
		return message{}, badRequest("a client sends no messages of type %q", truncate(kind, 50))
	}
	if kind != typeComplete {
		if m.payload, ok = readObject(fields["payload"]); !ok {
			return message{}, badRequest("the payload of %s is not an object", kind)
		}
	}
	return m, nil
}

// parseSubscribe reads the payload of a subscribe message.
func parseSubscribe(payload json.RawMessage) (*graphql.RawParams, error) {
	var fields map[string]json.RawMessage
	if payload == nil || json.Unmarshal(payload, &fields) != nil {
		return nil, badRequest("subscribe needs a payload")
	}
	p := &graphql.RawParams{}
	var ok bool
	if p.Query, ok = readString(fields["query"]); !ok {
		return nil, badRequest(`the payload of subscribe needs a "query": a string`)
	}
	if name := fields["operationName"]; !isAbsent(name) {
		if p.OperationName, ok = readString(name); !ok {
			return nil, badRequest(`"operationName" is not a string`)
		}
	}
	if p.Variables, ok = readMap(fields["variables"]); !ok {
		return nil, badRequest(`"variables" is not an object`)
	}
	if p.Extensions, ok = readMap(fields["extensions"]); !ok {
		return nil, badRequest(`"extensions" is not an object`)
	}
	return p, nil
}

// isAbsent reports whether a field is missing or null; the protocol makes no difference.
func isAbsent(value json.RawMessage) bool { return len(value) == 0 || string(value) == "null" }

func readString(value json.RawMessage) (string, bool) {
	var s string
	if isAbsent(value) || json.Unmarshal(value, &s) != nil {
		return "", false
	}
	return s, true
}

// readObject returns an object as it is, or nil if it is absent. It is false for anything else.
func readObject(value json.RawMessage) (json.RawMessage, bool) {
	if isAbsent(value) {
		return nil, true
	}
	return value, value[0] == '{'
}

// readMap returns an object's values, or nil if it is absent. Numbers are json.Number, as gqlgen expects, so that long
// ones keep all their digits.
func readMap(value json.RawMessage) (map[string]any, bool) {
	value, ok := readObject(value)
	if !ok || value == nil {
		return nil, ok
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var values map[string]any
	return values, decoder.Decode(&values) == nil
}
