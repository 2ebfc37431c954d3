package graphqlhttp

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/transport"
)

// A Body is a whole response as JSON text, for any number of requests at the same time. Its ETag and its compressed form are
// made once, when they are first needed.
type Body struct {
	plain encoded
	size  atomic.Int64

	tagged sync.Once
	tag    []string

	compressing sync.Once
	compressed  encoded
}

// encoded is the body of a response as it is sent. length is the value of the Content-Length header, so that a response
// allocates nothing for it.
type encoded struct {
	bytes  []byte
	length []string
}

func newEncoded(b []byte) encoded { return encoded{b, []string{strconv.Itoa(len(b))}} }

// NewBody returns a Body of json, which is a response without errors. Do not change json afterwards.
func NewBody(json []byte) *Body {
	b := &Body{plain: newEncoded(transport.ValidUTF8(json))}
	b.size.Store(int64(cap(b.plain.bytes)))
	return b
}

// Size returns how many bytes of memory the Body holds. It grows once, by less than the length of the JSON text, when the
// compressed form is first needed.
func (b *Body) Size() int { return int(b.size.Load()) }

// etag returns the value of the ETag header. It is weak because the plain and the compressed form share it. It depends on
// the text only, so that every replica has the same.
func (b *Body) etag() []string {
	b.tagged.Do(func() { b.tag = []string{`W/"` + strconv.FormatUint(xxhash.Sum64(b.plain.bytes), 36) + `"`} })
	return b.tag
}

// gzip returns the compressed form.
func (b *Body) gzip() encoded {
	b.compressing.Do(func() {
		b.compressed = newEncoded(compress(b.plain.bytes))
		b.size.Add(int64(cap(b.compressed.bytes)))
	})
	return b.compressed
}

// operation is what middleware and resolvers can tell the transport about the operation of their context.
type operation struct {
	streams   bool // the response is a stream
	continues bool // there may be any number of results
	// lastEventID is that of LastEventID.
	lastEventID string

	mu      sync.Mutex
	body    *Body                       // of Reply
	cached  func(context.Context) *Body // of Repeat
	eventID string                      // of SetEventID

	transport.SubscriptionErrors
}

// AddError implements transport.Operation.
func (o *operation) AddError(err *gqlerror.Error) bool {
	return o.streams && o.SubscriptionErrors.AddError(err)
}

func operationOf(ctx context.Context) *operation {
	o, _ := transport.OperationOf(ctx).(*operation)
	return o
}

// Reply makes b the response to the operation of ctx, instead of the graphql.Response that its handler returns, which then
// may be any but nil. An operation middleware calls it before the handler returns. It reports false, and does nothing, if
// ctx is not of a query or mutation that this package answers with a single response.
func Reply(ctx context.Context, b *Body) bool {
	o := operationOf(ctx)
	if o == nil || o.streams {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.body = b
	return true
}

// reply returns the arguments of Reply and Repeat, or nil.
func (o *operation) reply() (*Body, func(context.Context) *Body) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.body, o.cached
}

// SetEventID gives the next result of ctx's operation an id, with which a browser's EventSource comes back: see [LastEventID].
// The id has no control characters. The operation's ResponseHandler calls SetEventID before it returns the result. It has no
// effect for other transports.
func SetEventID(ctx context.Context, id string) {
	if o := operationOf(ctx); o != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.eventID = id
	}
}

// takeEventID returns the argument of SetEventID since takeEventID was called before, or an empty string.
func (o *operation) takeEventID() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := o.eventID
	o.eventID = ""
	return id
}

// LastEventID returns the id of the last result that the client of ctx's operation has got, if the client is an EventSource
// that comes back. Otherwise it is empty. An EventSource sends its URL as it was at first, so the id outranks an argument of the
// operation that says where to go on.
func LastEventID(ctx context.Context) string {
	if o := operationOf(ctx); o != nil {
		return o.lastEventID
	}
	return ""
}
