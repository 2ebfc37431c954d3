package graphqlws

import (
	"encoding/binary"
	"encoding/json"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/transport"
)

// finalFrame is the bit of a frame that is a whole message.
const finalFrame = 0x80

// lengthBytes is how many bytes the length takes in the frame of most messages: those of 126 to 65,535 bytes.
const lengthBytes = 2

// appendFrame appends one WebSocket frame to b. body appends its payload. It builds the frame in place, without gorilla's
// writer, so that a message is copied once, and one write sends all that waits for a connection.
func appendFrame(b []byte, opcode byte, body func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, finalFrame|opcode, 0, 0, 0)
	header := b[start : start+2+lengthBytes]
	b = body(b)
	payload := b[start+len(header):]
	switch n := len(payload); {
	case n < 126:
		b[start+1] = byte(n)
		copy(b[start+2:], payload)
		return b[:len(b)-lengthBytes]
	case n < 1<<16:
		b[start+1] = 126
		binary.BigEndian.PutUint16(b[start+2:], uint16(n))
		return b
	default:
		const more = 8 - lengthBytes
		b = append(b, make([]byte, more)...)
		copy(b[start+len(header)+more:], b[start+len(header):len(b)-more])
		b[start+1] = 127
		binary.BigEndian.PutUint64(b[start+2:], uint64(n))
		return b
	}
}

// appendMessage appends a message of kind. id and payload are JSON, or empty if it has none.
func appendMessage(b []byte, kind, id string, payload []byte) []byte {
	b = append(b, '{')
	if id != "" {
		b = append(append(append(b, `"id":`...), id...), ',')
	}
	b = append(append(append(b, `"type":"`...), kind...), '"')
	if payload != nil {
		b = append(append(b, `,"payload":`...), payload...)
	}
	return append(b, '}')
}

// rest is all of a response but its data, as JSON. It is mostly empty.
type rest struct{ errors, label, path, hasNext, extensions []byte }

// encodeRest encodes a response for a message. If it is not fit for one, the operation ends with the returned errors.
func encodeRest(r *graphql.Response) (rest, gqlerror.List) {
	// Without data, not even null, the request failed before it was executed.
	if len(r.Data) == 0 && len(r.Errors) > 0 {
		return rest{}, r.Errors
	}
	if len(r.Errors) == 0 && r.Label == "" && len(r.Path) == 0 && r.HasNext == nil && len(r.Extensions) == 0 {
		return rest{}, nil // the usual case, which must not allocate
	}
	var e rest
	for _, field := range []struct {
		set  bool
		to   *[]byte
		from any
	}{
		{len(r.Errors) > 0, &e.errors, r.Errors},
		{r.Label != "", &e.label, r.Label},
		{len(r.Path) > 0, &e.path, r.Path},
		{r.HasNext != nil, &e.hasNext, r.HasNext},
		{len(r.Extensions) > 0, &e.extensions, r.Extensions},
	} {
		if !field.set {
			continue
		}
		var err error
		if *field.to, err = json.Marshal(field.from); err != nil {
			return rest{}, gqlerror.List{gqlerror.Errorf("the response cannot be encoded")}
		}
	}
	return e, nil
}

// appendResult appends a message of kind, which is next or data, with a result.
func appendResult(b []byte, kind, id string, data []byte, r rest) []byte {
	b = append(append(b, `{"id":`...), id...)
	b = append(append(append(b, `,"type":"`...), kind...), `","payload":{`...)
	if r.errors != nil {
		b = append(append(append(b, `"errors":`...), r.errors...), ',')
	}
	b = append(b, `"data":`...)
	if len(data) == 0 {
		b = append(b, "null"...)
	}
	b = append(b, transport.ValidUTF8(data)...)
	for _, field := range []struct {
		name  string
		value []byte
	}{
		{`,"label":`, r.label}, {`,"path":`, r.path}, {`,"hasNext":`, r.hasNext}, {`,"extensions":`, r.extensions},
	} {
		if field.value != nil {
			b = append(append(b, field.name...), field.value...)
		}
	}
	return append(b, "}}"...)
}
