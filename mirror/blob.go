package mirror

import (
	"bytes"
	"context"
	"io"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// opener returns how the source's blob is opened: a stream that is verified against the descriptor at its end.
func (c *copier) opener(ctx context.Context, desc v1.Descriptor) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		if desc.Data != nil && int64(len(desc.Data)) == desc.Size {
			return io.NopCloser(bytes.NewReader(desc.Data)), nil
		}
		layer, err := c.puller.Layer(ctx, c.source.Context().Digest(desc.Digest.String()))
		if err != nil {
			return nil, err
		}
		return layer.Compressed()
	}
}

// sourceBlob is a blob on its way, for one attempt to upload it. It counts what is read, and remembers whether reading
// it is what failed: in the error of an upload the two sides cannot be told apart.
type sourceBlob struct {
	desc  v1.Descriptor
	meter *meter
	open  func() (io.ReadCloser, error)

	mu     sync.Mutex
	asked  bool
	broken error
}

func (b *sourceBlob) Digest() (v1.Hash, error)            { return b.desc.Digest, nil }
func (b *sourceBlob) Size() (int64, error)                { return b.desc.Size, nil }
func (b *sourceBlob) MediaType() (types.MediaType, error) { return b.desc.MediaType, nil }

// Compressed opens the blob from its beginning. It is called again when a connection has to be replaced in mid-upload,
// and not at all when the destination has the blob.
func (b *sourceBlob) Compressed() (io.ReadCloser, error) {
	b.mu.Lock()
	b.asked = true
	b.mu.Unlock()
	rc, err := b.open()
	if err != nil {
		return nil, b.fail(err)
	}
	return &blobReader{blob: b, rc: rc}, nil
}

func (b *sourceBlob) opened() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// failure is the first error of reading the blob, or nil.
func (b *sourceBlob) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

func (b *sourceBlob) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken == nil {
		b.broken = err
	}
	return err
}

type blobReader struct {
	blob *sourceBlob
	rc   io.ReadCloser
	read int64

	mu     sync.Mutex
	closed bool
}

// Read keeps the blob's last piece back until the whole is verified, so that a destination never has all of a blob that
// is not what it should be.
func (r *blobReader) Read(p []byte) (int, error) {
	n, err := r.rc.Read(p)
	if err == nil && r.read+int64(n) == r.blob.desc.Size {
		var behind [1]byte
		_, err = r.rc.Read(behind[:])
	}
	if err != nil && err != io.EOF {
		n = 0
	}
	r.read += int64(n)
	r.blob.meter.moved(r.blob.desc, r.read, n)
	// A destination that gives up closes the reader in mid-read: that error is not the source's.
	if err == nil || err == io.EOF || r.isClosed() {
		return n, err
	}
	return n, r.blob.fail(err)
}

func (r *blobReader) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.rc.Close()
}

func (r *blobReader) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}
