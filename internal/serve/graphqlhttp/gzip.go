package graphqlhttp

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipFrom is the length from which a body is compressed, in bytes. A shorter one mostly fits into one packet.
const gzipFrom = 1 << 10

var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a valid one
	}
	return w
}}

// compress returns a compressed copy of text.
func compress(text []byte) []byte {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	scratch := takeBuffer()
	defer scratch.put()
	out := bytes.NewBuffer(scratch.bytes)
	w.Reset(out)
	// Writing to a bytes.Buffer does not fail.
	_, _ = w.Write(text)
	_ = w.Close()
	scratch.bytes = out.Bytes()
	return bytes.Clone(scratch.bytes)
}

// buffer is memory for a request or response. Pools keep it for the next one.
type buffer struct {
	bytes []byte
	// counted is how many bytes of it were taken from the budget.
	counted int
}

// largestKept is the largest capacity of a buffer that goes back to its pool.
const largestKept = 4 << 20

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 4<<10)} }}

// requestBuffers are for requests, most of which are short. A longer buffer does not go back: while the next request is
// received, nothing would count its memory.
var requestBuffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, shortRequest)} }}

// shortRequest is the longest request that fits into a pooled buffer, in bytes.
const shortRequest = 4 << 10

func takeRequest() *buffer { return requestBuffers.Get().(*buffer) }

// putRequest puts back a buffer of takeRequest.
func (b *buffer) putRequest() {
	if cap(b.bytes) == shortRequest {
		b.bytes = b.bytes[:0]
		requestBuffers.Put(b)
	}
}

func takeBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) put() {
	if cap(b.bytes) <= largestKept {
		b.bytes = b.bytes[:0]
		buffers.Put(b)
	}
}
