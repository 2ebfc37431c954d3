package graphqlhttp

import (
	"bytes"
	"math"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
)

// eventFormat is the format of server-sent events.
type eventFormat struct{}

// completeID is the id of the complete event. It is neither a revision nor a cursor.
const completeID = "complete"

func (eventFormat) contentType() string { return typeEvents + "; charset=utf-8" }

// A browser waits that long before it comes back, in milliseconds. Each has a pause of its own otherwise, of up to 5 s.
func (eventFormat) beginning() []byte { return []byte(":\nretry: 3000\n\n") }

func (eventFormat) appendResult(b []byte, r *graphql.Response, id string) []byte {
	b = append(b, "event: next\n"...)
	if id != "" {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	b = append(b, "data: "...)
	data := len(b)
	b = appendResponse(b, r)
	replaceLineEnds(b[data:])
	return append(b, "\n\n"...)
}

// replaceLineEnds makes JSON one line, as an event's data has to be. JSON has line ends only between its tokens, where a
// space means the same.
func replaceLineEnds(json []byte) {
	for _, end := range []byte{'\n', '\r'} {
		for rest := json; ; {
			i := bytes.IndexByte(rest, end)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i:]
		}
	}
}

func (f eventFormat) appendFailure(b []byte, r *graphql.Response, _ bool) []byte {
	return f.appendResult(b, r, "")
}

// ending has an id, with which a browser comes back that has got it: see isOver. Without that id it subscribes again, behind
// the last result.
func (eventFormat) ending(again bool) []byte {
	if again {
		return []byte("event: complete\ndata:\n\n")
	}
	return []byte("event: complete\nid: " + completeID + "\ndata:\n\n")
}

// interruption is empty: clients come back after a stream that has ended without complete.
func (eventFormat) interruption() []byte { return nil }

func (eventFormat) signOfLife() []byte { return []byte(":\n\n") }

func (eventFormat) longestSilence() time.Duration { return math.MaxInt64 }

// isOver reports whether the client comes back after a complete event. A browser's EventSource does that whenever a response
// has ended.
func (e *exchange) isOver() bool {
	return e.accepted.events && lastEventID(e.r) == completeID
}

// lastEventID returns the id of the last event that an EventSource got before it came back, or an empty string. An
// EventSource sends GET requests only.
func lastEventID(r *http.Request) string {
	if r.Method != http.MethodGet {
		return ""
	}
	return r.Header.Get("Last-Event-ID")
}

// respondOver tells an EventSource not to come back again.
func (e *exchange) respondOver() {
	header := e.w.Header()
	header["Cache-Control"] = neverCache
	header.Add("Vary", vary)
	e.w.WriteHeader(http.StatusNoContent)
	e.transport.options.Observer.Responded(http.StatusNoContent, 0)
}
