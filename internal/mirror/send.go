package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
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
	// location is where an upload goes on, nil when there is none. sent is true once sending has begun.
	location *url.URL
	sent     bool
	// brokeAfter is how many bytes the last request had been given when it broke off, zero if none did.
	brokeAfter int64
	// piece is how many bytes one request sends at most, zero for the whole blob. least is how many the registry wants in each
	// piece but the last.
	piece, least int64
	// takesPieces is true once the registry has taken a second piece, wholeOnly once it seems to take no pieces.
	takesPieces, wholeOnly bool
	// fellShort is true once the registry said that it has less than it was sent. unsure is set when that seems wrong: then
	// what it says of pieces is no longer believed.
	fellShort, unsure bool
	// arrived is the most of the blob that the destination ever had.
	arrived int64
}

// copyBlob brings a blob to the destination. Each try goes on from where the one before broke off, as far as both registries can.
func (c *copier) copyBlob(ctx context.Context, desc v1.Descriptor) error {
	blob, err := newBlob(c, desc)
	if err != nil {
		return c.fromSource(err)
	}
	s := &sending{c: c, blob: blob, piece: c.piece.Load(), tries: c.newTries("blob " + desc.Digest.String())}
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

// isMissing reports whether the source has answered that it does not have a blob, or does not give it.
func isMissing(err error) bool {
	blamed, ok := errors.AsType[*sideError](err)
	if !ok || blamed.side.role != pull.SourceSide {
		return false
	}
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && (answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusForbidden ||
		answer.StatusCode == http.StatusGone || answer.StatusCode == http.StatusUnavailableForLegalReasons)
}

// try takes the cheapest way that works. A blob that the destination has is not sent. One that its registry has in another
// repository is mounted. An upload that was begun goes on. When a request for one way fails, try takes the next one.
func (s *sending) try(ctx context.Context) (way, error) {
	c, desc := s.c, s.blob.desc
	// If the blob is there after an upload, that had succeeded and only its answer was lost.
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
		ok, location, least, err := c.tryMount(ctx, desc)
		if ok && c.to.hasBlob(ctx, desc) {
			return mounted, nil
		}
		if err != nil {
			c.noMount.Store(true)
		}
		s.location, s.least = location, least
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	from := s.resume(ctx)
	if s.location == nil {
		if err := s.begin(ctx); err != nil {
			return 0, s.blame(err)
		}
	}
	err := s.upload(ctx, from)
	for refusals := 0; s.another(err, &refusals); {
		if err = s.begin(ctx); err == nil {
			err = s.upload(ctx, 0)
		}
	}
	return copied, s.blame(err)
}

// begin starts an upload.
func (s *sending) begin(ctx context.Context) (err error) {
	s.location, s.least, err = s.c.to.startUpload(ctx)
	return err
}

// another reports whether an upload that was refused is to begin again at once, in another way.
func (s *sending) another(err error, refusals *int) bool {
	switch {
	case s.blob.failure() != nil:
		return false // the source failed
	case isTooLarge(err):
		return s.divide()
	case !refusesUpload(err) || *refusals == 2:
		return false
	case s.fellShort && !s.unsure:
		s.unsure = true
	case s.piece == 0:
		return false
	case *refusals == 1 && !s.takesPieces:
		// The registry may have lost the upload, or may take none in pieces. Only a second refusal tells.
		s.piece, s.wholeOnly = 0, true
	}
	*refusals++
	return true
}

// isTooLarge reports whether a request was refused for its size.
func isTooLarge(err error) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && answer.StatusCode == http.StatusRequestEntityTooLarge
}

// smallestRequest is the lowest limit of a request's size at which a blob is sent in pieces. A lower limit, such as nginx's default
// of 1 MiB, would take thousands of requests for a layer. It has to be raised.
const smallestRequest = 4 << 20

// divide halves what the next requests send, those of other blobs too, after one was too large. It reports whether less can be
// sent at a time.
func (s *sending) divide() bool {
	before := s.blob.desc.Size
	if s.piece > 0 {
		before = min(before, max(s.piece, s.least))
	}
	if s.wholeOnly || before <= max(smallestRequest, s.least) {
		return false
	}
	s.piece = max(before/2, smallestRequest)
	s.c.piece.Store(s.piece)
	s.c.meter.event(fmt.Sprintf("Sending blob %s in pieces of %s: requests of %s are too large",
		s.blob.desc.Digest, pull.FormatBytes(max(s.piece, s.least)), pull.FormatBytes(before)))
	return true
}

// refusesUpload reports whether a registry refuses to go on with an upload. It may have lost the upload, or take uploads in one
// piece only.
func refusesUpload(err error) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	if !ok {
		return false
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestedRangeNotSatisfiable,
		http.StatusNotImplemented:
		return true
	}
	return false
}

// mountTimeout is how long a registry may take to mount a blob, which moves no bytes.
const mountTimeout = 20 * time.Second

// tryMount asks for a mount, for mountTimeout at most.
func (c *copier) tryMount(ctx context.Context, desc v1.Descriptor) (mounted bool, location *url.URL, least int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	return c.mounter.mount(ctx, desc, c.source.Context().RepositoryStr())
}

// resume returns how many bytes of an upload that broke off are at the destination. If the registry does not say, the upload is
// given up, and begins again in smaller pieces.
func (s *sending) resume(ctx context.Context) int64 {
	if s.location == nil || !s.sent {
		return 0
	}
	offset, next, err := s.c.to.uploadedTo(ctx, s.location)
	if err != nil || offset == 0 || offset > s.blob.desc.Size {
		s.location = nil
		s.shrink()
		return 0
	}
	s.reached(offset)
	s.location = next
	s.c.meter.at(s.blob.desc, min(offset, s.blob.desc.Size-1))
	return offset
}

// reached notes how much of the blob the destination has.
func (s *sending) reached(offset int64) {
	if offset > s.arrived {
		s.tries.progress(offset - s.arrived)
		s.arrived = offset
	}
}

// smallestPiece is less than what proxies let through by default.
const smallestPiece = 1 << 20

// shrink halves what the next requests send, after one broke off, and halves it again after the next break. Distribution 2 loses
// the whole upload when one of its requests breaks off: the upload's address holds, signed, how far it was before, and is
// refused once more bytes are there. So where a proxy cuts requests at a size or a time, only shorter requests arrive.
func (s *sending) shrink() {
	if s.brokeAfter == 0 || s.wholeOnly {
		return
	}
	before := s.brokeAfter
	if s.piece > 0 {
		before = s.piece
	}
	s.piece, s.brokeAfter = max(before/2, smallestPiece), 0
	if s.piece < s.blob.desc.Size {
		s.c.meter.event(fmt.Sprintf("Sending blob %s in pieces of %s from its beginning: the upload that broke off was lost",
			s.blob.desc.Digest, pull.FormatBytes(max(s.piece, s.least))))
	}
}

// upload sends a blob's bytes from an offset on and completes the upload.
func (s *sending) upload(ctx context.Context, from int64) error {
	size := s.blob.desc.Size
	if size == 0 {
		// There is nothing to send, but the checksum must be right.
		body, err := s.blob.open(ctx, 0)
		if err == nil {
			_, err = io.Copy(io.Discard, body)
			err = errors.Join(err, body.Close())
		}
		if err != nil {
			return err
		}
	}
	s.sent = true
	pieces := &pieces{ctx: ctx, blob: s.blob}
	defer pieces.close()
	for from < size {
		to := size
		if s.piece > 0 {
			to = min(from+max(s.piece, s.least), size)
		}
		next, has, err := s.c.to.sendBlob(ctx, s.location, from, to, size, func() (io.ReadCloser, error) { return pieces.open(from, to) })
		if err != nil {
			s.brokeAfter = pieces.given()
			return err
		}
		s.takesPieces = s.takesPieces || from > 0
		s.location = next
		if has < to && !s.unsure {
			s.fellShort = true
			if has <= from {
				s.unsure = true
				return fmt.Errorf("it says that it has %s of the upload, but %s were sent", pull.FormatBytes(has), pull.FormatBytes(to))
			}
			to = has
		}
		from = to
		if from < size {
			s.reached(from)
		}
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
		case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusRequestedRangeNotSatisfiable, http.StatusTooManyRequests,
			statusClientClosed:
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
