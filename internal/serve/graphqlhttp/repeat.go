package graphqlhttp

import (
	"context"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/cespare/xxhash/v2"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/transport"
)

const (
	// maxRepeats bounds the memory of all repeats, in bytes.
	maxRepeats = 8 << 20
	// maxRepeated is how long a request may be that is kept as a repeat, in bytes.
	maxRepeated = 16 << 10
)

// repeatKey is the key of the repeats: a hash of the request's text. The text of a GET is the parameters in its URL, that of
// a POST its body. generation is that of Options when the request came.
type repeatKey struct {
	posted     bool
	sum        uint64
	generation uint64
}

// repeat answers requests with the same text.
type repeat struct {
	text      string
	operation string
	document  any // of transport.StatDocument
	cached    func(context.Context) *Body
}

// Repeat lets later requests with the same text as the one of ctx be answered with the Body that cached returns. They are
// not parsed, prepared or executed, so no middleware sees them. Observer.Repeated does. An operation middleware calls
// Repeat before its handler returns. It has no effect where Reply has none, nor for long requests.
//
// cached is called with the context of the later request, by any number of goroutines at a time, and must not block. If it
// returns nil, the request is executed as usual. cached may hold the document and the parameters of the request: requests
// are kept up to 8 MiB of that.
func Repeat(ctx context.Context, cached func(context.Context) *Body) {
	if o := operationOf(ctx); o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.cached = cached
	}
}

// repeated answers the request if its text is that of a repeat. It reports whether it did.
func (e *exchange) repeated(text []byte) bool {
	if e.accepted.eventsFirst || e.accepted.single == "" || len(text) > maxRepeated {
		return false
	}
	began := time.Now()
	e.repeatKey = repeatKey{e.r.Method == http.MethodPost, xxhash.Sum64(text), e.transport.options.Generation()}
	same, _ := e.transport.repeats.Get(e.repeatKey)
	if same.cached == nil || same.text != string(text) {
		if e.memory.Take(budget.Requests, len(text)) == nil {
			e.repeatText = string(text)
		}
		return false
	}
	body := same.cached(e.r.Context())
	if body == nil {
		e.repeatText = same.text
		return false
	}
	e.transport.options.Observer.Repeated(same.operation, same.document, time.Since(began))
	e.respondBody(body)
	return true
}

// remember keeps the request as a repeat.
func (e *exchange) remember(o *graphql.OperationContext, cached func(context.Context) *Body) {
	if e.repeatText == "" {
		return
	}
	// cached may hold the parameters of the request and the document. A persisted query only names its document.
	const fixed = 500
	same := repeat{e.repeatText, o.Operation.Name, o.Stats.GetExtension(transport.StatDocument), cached}
	e.transport.repeats.Add(e.repeatKey, same, fixed+2*len(e.repeatText)+len(o.RawQuery))
}
