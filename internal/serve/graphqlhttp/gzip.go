package graphqlhttp

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipFrom is the length from which a body is compressed. A shorter one mostly fits into a packet as it is.
const gzipFrom = 1 << 10

var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a valid one
	}
	return w
}}

// compress returns text in gzip form, in memory of its own.
func compress(text []byte) []byte {
	w := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(w)
	scratch := takeBuffer()
	defer scratch.put()
	out := bytes.NewBuffer(scratch.bytes)
	w.Reset(out)
	// A bytes.Buffer takes all that is written to it.
	_, _ = w.Write(text)
	_ = w.Close()
	scratch.bytes = out.Bytes()
	return bytes.Clone(scratch.bytes)
}

// buffer is memory for one request or response, which is used again for another.
type buffer struct {
	bytes []byte
	// counted is how many bytes of it were taken from the budget.
	counted int
}

// largestKept is the capacity up to which a buffer is kept.
const largestKept = 4 << 20

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 4<<10)} }}

// requestBuffers are for requests, which are short mostly. A large one that was kept would be memory that nobody counts
// while the next one comes in.
var requestBuffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, shortRequest)} }}

// shortRequest is how long requests are that need no memory of their own.
const shortRequest = 4 << 10

func takeRequest() *buffer { return requestBuffers.Get().(*buffer) }

// putRequest is put for what takeRequest has returned.
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
