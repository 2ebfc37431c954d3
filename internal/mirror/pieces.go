package mirror

import (
	"context"
	"io"
	"sync/atomic"
)

// pieces are the bodies of the requests that send a blob piece by piece. They read the blob as one stream as long as
// each goes on where the one before has ended. Only one piece is read at a time.
type pieces struct {
	ctx  context.Context
	blob *blob
	// rest is the blob's stream, at the position at; nil when there is none. What read it last has ended.
	rest io.ReadCloser
	at   int64
	last *piece
}

// open returns the bytes between two positions. Close the reader after use; it may be closed during a read.
func (p *pieces) open(from, to int64) (io.ReadCloser, error) {
	if p.rest == nil || p.at != from || (p.last != nil && !p.last.whole.Load()) {
		p.close()
		rest, err := p.blob.open(p.ctx, from)
		if err != nil {
			return nil, err
		}
		p.rest = rest
	}
	p.at = to
	p.last = &piece{from: p.rest, left: to - from, end: to == p.blob.desc.Size}
	return p.last, nil
}

// given returns how many bytes of the piece that was opened last have been read.
func (p *pieces) given() int64 {
	if p.last == nil {
		return 0
	}
	return p.last.given.Load()
}

// close ends the blob's stream.
func (p *pieces) close() {
	if p.rest != nil {
		_ = p.rest.Close()
		p.rest = nil
	}
}

type piece struct {
	from io.ReadCloser
	left int64
	// end is true for the blob's last piece. Its reader asks the blob's stream once more, which counts what was sent.
	end   bool
	given atomic.Int64
	// whole is true once all of it has been read.
	whole atomic.Bool
}

func (p *piece) Read(b []byte) (int, error) {
	if p.left == 0 && !p.end {
		return 0, io.EOF
	}
	if p.left > 0 {
		b = b[:min(int64(len(b)), p.left)]
	}
	n, err := p.from.Read(b)
	p.left -= int64(n)
	p.given.Add(int64(n))
	p.whole.Store(p.left == 0)
	return n, err
}

// Close ends the blob's stream if the piece has not been read to its end: the next piece cannot go on there.
func (p *piece) Close() error {
	if p.whole.Load() {
		return nil
	}
	return p.from.Close()
}
