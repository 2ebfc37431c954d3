package graphqlhttp

import (
	"context"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/cespare/xxhash/v2"

	"pullwatch/internal/budget"
)

const (
	// maxRepeats bounds the requests that [Repeat] was called for, in bytes.
	maxRepeats = 8 << 20
	// maxRepeated is how long such a request may be, in bytes.
	maxRepeated = 16 << 10
)

// requestKey is where a request is looked for: its text in short. A GET's text is the parameters in its URL, a POST's its
// body.
type requestKey struct {
	posted bool
	sum    uint64
}

// repeat answers requests that say the same as one before.
type repeat struct {
	text      string
	operation string
	again     func(context.Context) *Body
}

// Repeat lets requests that say the same as the one that ctx belongs to, byte for byte, be answered with what again
// returns. They are not parsed then, and neither prepared nor executed, so no middleware sees them; Observer.Repeated
// does. It is for an operation middleware, and to be called before the handler returns. It has no effect where Reply has
// none, nor for long requests.
//
// again is called with the context of the other request, by any number of goroutines at a time, and must not block. It
// returns nil for a request that is to be executed as all others are. It may hold the document and what else the request
// says; of that much memory 8 MiB are kept.
func Repeat(ctx context.Context, again func(context.Context) *Body) {
	if o := operationOf(ctx); o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.again = again
	}
}

// repeated answers the request if it says the same as one before. It reports whether it has.
func (e *exchange) repeated(text []byte) bool {
	if e.accepted.eventsFirst || len(text) > maxRepeated {
		return false
	}
	began := time.Now()
	e.key = requestKey{posted: e.r.Method == http.MethodPost, sum: xxhash.Sum64(text)}
	known, _ := e.transport.repeats.Get(e.key)
	if known.again == nil || known.text != string(text) {
		if e.memory.Take(budget.Requests, len(text)) == nil {
			e.text = string(text)
		}
		return false
	}
	body := known.again(e.r.Context())
	if body == nil {
		e.text = known.text
		return false
	}
	e.transport.options.Observer.Repeated(known.operation, time.Since(began))
	e.answerBody(body)
	return true
}

// remember keeps what Repeat has been called with for the request.
func (e *exchange) remember(o *graphql.OperationContext, again func(context.Context) *Body) {
	if e.text == "" {
		return
	}
	// again may hold what the request says, and the document, which a persisted query only names.
	const fixed = 500
	e.transport.repeats.Add(e.key, repeat{e.text, o.Operation.Name, again}, fixed+2*len(e.text)+len(o.RawQuery))
}
