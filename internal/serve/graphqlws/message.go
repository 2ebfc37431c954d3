package graphqlws

import (
	"encoding/json"
	"errors"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/gorilla/websocket"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/jsonreader"
)

// message is a message of a client.
type message struct {
	kind kind
	id   string // of kindSubscribe and kindComplete, never empty
	// payload is a JSON object, or nil if there was none.
	payload json.RawMessage
}

// parseMessage parses a message and checks what does not depend on the connection's state. The message's payload is a part
// of text.
func parseMessage(p *subprotocol, text []byte) (message, error) {
	if !utf8.Valid(text) {
		return message{}, &CloseError{websocket.CloseInvalidFramePayloadData, "the message is not UTF-8"}
	}
	fields, err := parseFields(text)
	if err != nil {
		return message{}, err
	}
	name, ok := readString(fields.kind)
	if !ok {
		return message{}, badRequest(`the message has no "type", or one that is not a string`)
	}
	m := message{kind: p.kinds[name]}
	switch m.kind {
	case 0:
		return message{}, badRequest("a client of %s sends no messages of type %q", p.name, truncate(name, 50))
	case kindSubscribe, kindComplete:
		if m.id, ok = readString(fields.id); !ok || m.id == "" {
			return message{}, badRequest(`%s needs an "id": a string that is not empty`, name)
		}
	}
	if m.kind == kindComplete || m.kind == kindTerminate {
		return m, nil
	}
	if m.payload, ok = readObject(fields.payload); !ok {
		return message{}, badRequest("the payload of %s is not an object", name)
	}
	if m.kind == kindSubscribe && m.payload == nil {
		return message{}, badRequest("%s needs a payload", name)
	}
	return m, nil
}

// fields are the fields of a message, as they are written. A missing field is nil.
type fields struct{ kind, id, payload json.RawMessage }

func parseFields(text []byte) (f fields, err error) {
	r := jsonreader.New(text, nil)
	if r.Next() != '{' {
		return fields{}, badRequest("the message is not a JSON object")
	}
	for more := r.Enter('}'); more; more = r.More('}') {
		switch name := r.Name(); name {
		case "type":
			f.kind = r.Skip()
		case "id":
			f.id = r.Skip()
		case "payload":
			f.payload = r.Skip()
		default:
			r.Skip()
		}
	}
	if r.End() {
		return f, nil
	}
	if limit, ok := errors.AsType[*jsonreader.LimitError](r.Err()); ok {
		return fields{}, badRequest("%v", limit)
	}
	return fields{}, badRequest("the message is not a JSON object")
}

// parseSubscribe parses the payload of a subscribe or start message, whose memory it takes from memory. A [CloseError] closes the
// connection. Any other error refuses only the operation.
func parseSubscribe(payload json.RawMessage, memory *budget.Account) (*graphql.RawParams, error) {
	p, hasQuery, err := jsonreader.New(payload, memory).Params()
	if member, ok := errors.AsType[*jsonreader.MemberError](err); ok {
		return nil, badRequest("%v", member)
	}
	if err == nil && !hasQuery && !jsonreader.NamesDocument(p) {
		return nil, badRequest(`the payload needs a "query": a string`)
	}
	return p, err
}

// isAbsent reports whether a field is missing or null. For the protocol they are the same.
func isAbsent(value json.RawMessage) bool { return len(value) == 0 || string(value) == "null" }

func readString(value json.RawMessage) (string, bool) {
	var s string
	if isAbsent(value) || json.Unmarshal(value, &s) != nil {
		return "", false
	}
	return s, true
}

// readObject returns an object as it is written, or nil if it is absent. It reports false for other values.
func readObject(value json.RawMessage) (json.RawMessage, bool) {
	if isAbsent(value) {
		return nil, true
	}
	return value, value[0] == '{'
}
