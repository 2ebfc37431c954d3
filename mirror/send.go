package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// way is how a blob has come to be at the destination.
type way int

const (
	found way = iota
	mounted
	copied
)

// sending is a blob on its way to the destination, over all tries.
type sending struct {
	c     *copier
	blob  *blob
	tries *tries
	// location is where an upload goes on, nil when there is none. sent tells that one was begun.
	location *url.URL
	sent     bool
	// arrived is how far the destination had it at most.
	arrived int64
}

// copyBlob sees to it that the destination has a blob. Each try goes on from where the one before broke off, as far as
// both registries can.
func (c *copier) copyBlob(ctx context.Context, desc v1.Descriptor) error {
	blob, err := newBlob(c, desc)
	if err != nil {
		return c.fromSource(err)
	}
	s := &sending{c: c, blob: blob, tries: c.newTries("blob " + desc.Digest.String())}
	for {
		way, err := s.try(ctx)
		if err == nil {
			c.meter.finish(desc, way)
			return nil
		}
		c.meter.at(desc, 0)
		if !desc.MediaType.IsDistributable() && isMissing(err) {
			c.leave(desc)
			return nil
		}
		if !s.tries.again(ctx, err) {
			return err
		}
	}
}

// isMissing reports whether a source says, rather than fails to say, that it does not have or give a blob.
func isMissing(err error) bool {
	blamed, ok := errors.AsType[*sideError](err)
	if !ok || blamed.side.role != "source" {
		return false
	}
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && (answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusForbidden ||
		answer.StatusCode == http.StatusGone || answer.StatusCode == http.StatusUnavailableForLegalReasons)
}

// try takes the cheapest way that there is: what the destination has is not sent, what its registry has elsewhere is
// mounted, and an upload that has begun goes on. Every question that is not answered leads to the next way.
func (s *sending) try(ctx context.Context) (way, error) {
	c, desc := s.c, s.blob.desc
	// Behind an upload, that the blob is there says that the answer to the upload's end was lost.
	if (s.sent || !c.distrust.Load()) && c.to.hasBlob(ctx, desc) {
		if s.sent {
			return copied, nil
		}
		c.mu.Lock()
		c.found = append(c.found, desc)
		c.mu.Unlock()
		return found, nil
	}
	if s.location == nil && c.mounter != nil && !c.noMount.Load() {
		ok, location, err := c.tryMount(ctx, desc)
		if ok && c.to.hasBlob(ctx, desc) {
			return mounted, nil
		}
		if err != nil {
			c.noMount.Store(true)
		}
		s.location = location
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	from := s.resume(ctx)
	if s.location == nil {
		var err error
		if s.location, err = c.to.startUpload(ctx); err != nil {
			return 0, s.blame(err)
		}
	}
	return copied, s.blame(s.upload(ctx, from))
}

// tryMount asks for a mount, for which no byte moves, and so for a limited time.
func (c *copier) tryMount(ctx context.Context, desc v1.Descriptor) (mounted bool, location *url.URL, err error) {
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	return c.mounter.mount(ctx, desc, c.source.Context().RepositoryStr())
}

// resume returns how many bytes of an upload that broke off are at the destination. Without a word on that the upload
// is given up, and begins again.
func (s *sending) resume(ctx context.Context) int64 {
	if s.location == nil || !s.sent {
		return 0
	}
	offset, next, err := s.c.to.uploadedTo(ctx, s.location)
	if err != nil || offset == 0 || offset > s.blob.desc.Size {
		s.location = nil
		return 0
	}
	if offset > s.arrived {
		s.tries.progress(offset - s.arrived)
		s.arrived = offset
	}
	s.location = next
	s.c.meter.at(s.blob.desc, min(offset, s.blob.desc.Size-1))
	return offset
}

// upload sends a blob's bytes from an offset on and completes the upload.
func (s *sending) upload(ctx context.Context, from int64) error {
	open := func() (io.ReadCloser, error) { return s.blob.open(ctx, from) }
	size := s.blob.desc.Size
	if size == 0 {
		// Nothing is to be sent, but it has a checksum, too.
		body, err := open()
		if err == nil {
			_, err = io.Copy(io.Discard, body)
			err = errors.Join(err, body.Close())
		}
		if err != nil {
			return err
		}
	}
	s.sent = true
	if from < size {
		next, err := s.c.to.sendBlob(ctx, s.location, from, size, open)
		if err != nil {
			return err
		}
		s.location = next
	}
	return s.c.to.completeUpload(ctx, s.location, s.blob.desc)
}

// blame returns an error of a try as one of the side that it came from, and gives up an upload that cannot go on.
func (s *sending) blame(err error) error {
	if err == nil {
		return nil
	}
	if broken := s.blob.failure(); broken != nil {
		s.blob.restart()
		if isA[*mismatchError](broken) {
			s.location = nil
			return broken
		}
		// The reader has tried all that there is to try.
		return &exhaustedError{broken}
	}
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusRequestedRangeNotSatisfiable, http.StatusTooManyRequests:
		default:
			if answer.StatusCode < http.StatusInternalServerError {
				s.location = nil
			}
		}
	}
	return s.c.fromDestination(&partError{"blob " + s.blob.desc.Digest.String(), err})
}

// leave counts a layer that is not copied.
func (c *copier) leave(desc v1.Descriptor) {
	c.mu.Lock()
	c.left = append(c.left, desc)
	c.mu.Unlock()
	c.meter.leave(desc)
}
