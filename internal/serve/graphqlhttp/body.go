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

// A Body is a whole response as JSON text that can answer any number of requests, at the same time. Its ETag and its
// gzip form are made once, when they are first wanted.
type Body struct {
	plain encoded
	size  atomic.Int64

	tagged sync.Once
	tag    []string

	compressed sync.Once
	compact    encoded
}

// encoded is a response's body in the form in which it is sent. The length is kept as a header's value, so that a
// response allocates nothing for it.
type encoded struct {
	bytes  []byte
	length []string
}

func newEncoded(b []byte) encoded { return encoded{b, []string{strconv.Itoa(len(b))}} }

// NewBody returns a Body of json, which is `{"data":…}` without errors, and which is not changed afterwards.
func NewBody(json []byte) *Body {
	b := &Body{plain: newEncoded(transport.ValidUTF8(json))}
	b.size.Store(int64(cap(b.plain.bytes)))
	return b
}

// Size returns how many bytes of memory the Body holds. That grows once, by less than the length of the JSON text, when
// a client first wants the gzip form.
func (b *Body) Size() int { return int(b.size.Load()) }

// etag returns the value of the ETag header. It is a weak one because the plain and the gzip form share it, and depends
// on the text only, so that every replica has the same.
func (b *Body) etag() []string {
	b.tagged.Do(func() { b.tag = []string{`W/"` + strconv.FormatUint(xxhash.Sum64(b.plain.bytes), 36) + `"`} })
	return b.tag
}

// gzip returns the gzip form.
func (b *Body) gzip() encoded {
	b.compressed.Do(func() {
		b.compact = newEncoded(compress(b.plain.bytes))
		b.size.Add(int64(cap(b.compact.bytes)))
	})
	return b.compact
}

// operation is what middleware and resolvers can tell the transport about the operation that their context belongs to.
type operation struct {
	streams   bool // it is answered with events
	continues bool // it may have any number of results

	mu    sync.Mutex
	body  *Body
	again func(context.Context) *Body

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

// Reply answers the operation that ctx belongs to with b, instead of the graphql.Response that its handler returns,
// which then may be any but nil. It is for an operation middleware, and to be called before the handler returns. It
// reports false, and does nothing, if ctx is not one of a query or mutation that this package answers with a single
// response.
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

// reply returns what Reply and Repeat have been called with, or nil.
func (o *operation) reply() (*Body, func(context.Context) *Body) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.body, o.again
}
