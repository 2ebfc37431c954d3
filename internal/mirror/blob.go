package mirror

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// mismatchError is returned for content that is not what was promised. It is the fault of the registry that serves it.
type mismatchError struct{ text string }

func (e *mismatchError) Error() string { return e.text }

func wrongSize(desc v1.Descriptor, has string) error {
	return &mismatchError{fmt.Sprintf("blob %s has %s bytes, but its manifest says %d", desc.Digest, has, desc.Size)}
}

// markEvery is the least distance of two marks.
const markEvery = 4 << 20

// blob is a blob of the source on its way to the destination, over all tries to send it.
type blob struct {
	c    *copier
	desc v1.Descriptor

	mu sync.Mutex
	// marks are positions from which the blob can be read and checked again, in their order.
	marks  []mark
	broken error
}

// mark is a position in a blob with the state of the checksum there.
type mark struct {
	at   int64
	hash hash.Cloner
}

func newBlob(c *copier, desc v1.Descriptor) (*blob, error) {
	hasher, err := v1.Hasher(desc.Digest.Algorithm)
	if err != nil {
		return nil, err
	}
	cloner, ok := hasher.(hash.Cloner)
	if !ok {
		return nil, fmt.Errorf("checksums by %s cannot be continued", desc.Digest.Algorithm)
	}
	return &blob{c: c, desc: desc, marks: []mark{{0, cloner}}}, nil
}

// open returns the blob's bytes from a position on. They are checked against the descriptor, and when the source breaks
// off, they go on from there. Close the reader after use; it may be closed during a read.
func (b *blob) open(ctx context.Context, from int64) (io.ReadCloser, error) {
	b.mu.Lock()
	nearest := b.marks[0]
	for _, m := range b.marks {
		if m.at <= from {
			nearest = m
		}
	}
	b.mu.Unlock()
	hasher, err := nearest.hash.Clone()
	if err != nil {
		return nil, b.fail(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &blobReader{blob: b, ctx: ctx, cancel: cancel, pos: nearest.at, lostAt: nearest.at, ended: -1, from: from, hash: hasher,
		tries: b.c.newTries("blob " + b.desc.Digest.String())}
	if err := r.connect(); err != nil {
		cancel()
		return nil, b.fail(err)
	}
	return r, nil
}

// restart forgets what was read, and the error: the next try begins anew.
func (b *blob) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.marks, b.broken = b.marks[:1], nil
}

// failure is the first error of reading the blob since restart, or nil. The error of an upload does not say which side failed:
// when reading breaks, writing does too.
func (b *blob) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

func (b *blob) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken == nil {
		b.broken = err
	}
	return err
}

func (b *blob) remember(at int64, hasher hash.Cloner) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at < b.marks[len(b.marks)-1].at+markEvery {
		return
	}
	if state, err := hasher.Clone(); err == nil {
		b.marks = append(b.marks, mark{at, state})
	}
}

// stream opens the source's blob at an offset, or at zero, and says which.
func (b *blob) stream(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
	if inline := (&manifest{raw: b.desc.Data}); b.desc.Data != nil && inline.is(b.desc.Digest) {
		return io.NopCloser(bytes.NewReader(b.desc.Data)), 0, nil
	}
	return b.c.from.blob(ctx, b.desc, offset)
}

var errClosed = errors.New("the blob's reader is closed")

// blobReader reads a blob once. Only Close may be called while another method runs.
type blobReader struct {
	blob   *blob
	ctx    context.Context
	cancel context.CancelFunc
	tries  *tries
	// pos is how far the blob has been read and put into hash; from is where the reader's own bytes begin.
	pos, from int64
	hash      hash.Cloner
	// rest is the source's stream, at pos; nil when it has to be opened.
	rest io.ReadCloser
	// lostAt is where a stream broke off last. ended is where one ended as if that were the whole blob, -1 if none did.
	lostAt, ended int64
	// verified is true once all of the blob has turned out right.
	verified bool

	mu     sync.Mutex
	closed bool
}

// Read keeps the blob's last piece back until the whole is verified, so that a destination never has all of a blob that
// is not what it should be.
func (r *blobReader) Read(p []byte) (int, error) {
	size := r.blob.desc.Size
	if r.isClosed() {
		return 0, errClosed
	}
	if r.pos > r.from {
		// Whoever reads more has passed on what it had read.
		r.blob.c.meter.at(r.blob.desc, min(r.pos, size-1))
	}
	for {
		if r.pos == size && r.verified {
			return 0, io.EOF
		}
		if err := r.connect(); err != nil {
			return 0, r.failed(err)
		}
		room := size - r.pos
		if r.pos < r.from {
			room = r.from - r.pos
		}
		before := r.pos
		n, err := r.rest.Read(p[:min(int64(len(p)), room)])
		_, _ = r.hash.Write(p[:n])
		if r.pos += int64(n); r.pos == size {
			if err := r.verify(); err != nil {
				return 0, r.failed(err)
			}
			err = nil
		}
		r.blob.remember(r.pos, r.hash)
		if err != nil {
			if err := r.lost(err); err != nil {
				return 0, r.failed(err)
			}
		}
		if n > 0 && before >= r.from {
			return n, nil
		}
	}
}

// connect opens the source's stream at pos unless it is open.
func (r *blobReader) connect() error {
	for r.rest == nil {
		stream, start, err := r.blob.stream(r.ctx, r.pos)
		if err == nil {
			_, err = io.CopyN(io.Discard, stream, r.pos-start)
			if err != nil {
				_ = stream.Close()
				if errors.Is(err, io.EOF) {
					err = &readError{io.ErrUnexpectedEOF}
				}
			}
		}
		if err == nil {
			return r.adopt(stream)
		}
		err = r.blob.c.fromSource(&partError{part: "blob " + r.blob.desc.Digest.String(), err: err})
		lacking := !r.blob.desc.MediaType.IsDistributable() && isMissing(err)
		if lacking || isA[*mismatchError](err) || !r.tries.again(r.ctx, err) {
			return err
		}
	}
	return nil
}

// adopt makes stream the one that is read, unless the reader is closed.
func (r *blobReader) adopt(stream io.ReadCloser) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = stream.Close()
		return errClosed
	}
	r.rest = stream
	return nil
}

// lost closes a stream that has broken off, for the next one to go on at pos. It returns an error if another try is of no use.
func (r *blobReader) lost(cause error) error {
	if r.isClosed() {
		return cause
	}
	r.mu.Lock()
	_ = r.rest.Close()
	r.rest = nil
	r.mu.Unlock()
	gained := r.pos - r.lostAt
	r.lostAt = r.pos
	if cause == io.EOF {
		if r.ended == r.pos {
			return wrongSize(r.blob.desc, fmt.Sprint(r.pos))
		}
		r.ended, cause = r.pos, &readError{io.ErrUnexpectedEOF}
	}
	if gained > 0 {
		r.tries.progress(gained)
	}
	if cause = r.blob.c.fromSource(cause); !r.tries.again(r.ctx, cause) {
		return cause
	}
	return nil
}

// verify checks the whole blob, at whose end the stream is.
func (r *blobReader) verify() error {
	var behind [1]byte
	if n, _ := r.rest.Read(behind[:]); n > 0 {
		return wrongSize(r.blob.desc, "more than "+fmt.Sprint(r.pos))
	}
	if sum := hex.EncodeToString(r.hash.Sum(nil)); sum != r.blob.desc.Digest.Hex {
		return &mismatchError{fmt.Sprintf("blob %s arrived with the checksum %s:%s", r.blob.desc.Digest, r.blob.desc.Digest.Algorithm, sum)}
	}
	r.verified = true
	return nil
}

// failed keeps an error as the source's. When a destination gives up, it closes the reader while it is read: that error is not
// the source's.
func (r *blobReader) failed(err error) error {
	if r.isClosed() {
		return err
	}
	return r.blob.fail(r.blob.c.fromSource(err))
}

// Close ends a read that is under way, and with it the source's stream.
func (r *blobReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.cancel()
	if r.rest == nil {
		return nil
	}
	return r.rest.Close()
}

func (r *blobReader) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}
