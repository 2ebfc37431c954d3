package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// hasBlob reports whether the repository is known to have a blob.
func (r *client) hasBlob(ctx context.Context, desc v1.Descriptor) bool {
	resp, err := r.send(newRequest(ctx, http.MethodHead, r.url("blobs/"+desc.Digest.String())), http.StatusOK)
	if err != nil {
		// Registries say "not there" in many ways, and may refuse to tell: only writing shows what is so.
		return false
	}
	_ = resp.Body.Close()
	// A page of a proxy is not the blob.
	return resp.ContentLength < 0 || resp.ContentLength == desc.Size
}

// blob returns a blob's bytes from a position on, unchecked, and where they begin: at offset, or at zero when the
// registry does not know ranges. The caller closes the stream.
func (r *client) blob(ctx context.Context, desc v1.Descriptor, offset int64) (stream io.ReadCloser, start int64, err error) {
	ctx = withPatience(ctx, desc.Size)
	req := newRequest(ctx, http.MethodGet, r.url("blobs/"+desc.Digest.String()))
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := r.send(req, http.StatusOK, http.StatusPartialContent)
	if offset > 0 && refusesRange(err) {
		return r.blob(ctx, desc, 0)
	}
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode == http.StatusPartialContent {
		var first, last int64
		n, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last)
		if err == nil && n == 2 && first == offset {
			return resp.Body, offset, nil
		}
		_ = resp.Body.Close()
		if offset > 0 {
			return r.blob(ctx, desc, 0)
		}
		return nil, 0, &mismatchError{fmt.Sprintf("blob %s was asked for, and a part of it came", desc.Digest)}
	}
	if n := resp.ContentLength; n >= 0 && n != desc.Size {
		_ = resp.Body.Close()
		return nil, 0, wrongSize(desc, fmt.Sprint(n))
	}
	return resp.Body, 0, nil
}

// refusesRange reports whether an error may be the answer of a source that does not know ranges, or for which the blob ends
// there: the whole tells which.
func refusesRange(err error) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && slices.Contains([]int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestedRangeNotSatisfiable,
		http.StatusNotImplemented}, answer.StatusCode)
}

// startUpload begins an upload. It returns where the bytes are to be sent, and how many each piece but the last must have.
func (r *client) startUpload(ctx context.Context) (location *url.URL, least int64, err error) {
	resp, err := r.send(newRequest(ctx, http.MethodPost, r.url("blobs/uploads/")), http.StatusAccepted, http.StatusCreated, http.StatusOK)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	location, err = nextLocation(resp, nil)
	if err != nil && resp.StatusCode != http.StatusAccepted {
		err = transport.CheckError(resp, http.StatusAccepted)
	}
	return location, leastPiece(resp), err
}

// leastPiece returns how many bytes each piece but the last must have, as the response that begins an upload says. It returns at
// most a terabyte, so that sums do not overflow.
func leastPiece(resp *http.Response) int64 {
	least, err := strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
	if err != nil {
		return 0
	}
	return min(least, 1<<40)
}

// tryPush begins an upload and cancels it, to find out whether the login may.
func (r *client) tryPush(ctx context.Context) error {
	location, _, err := r.startUpload(ctx)
	if err == nil {
		r.cancelUpload(ctx, location)
	}
	return err
}

// cancelUpload ends an upload without a blob. Registries forget uploads by themselves, but some only after days.
func (r *client) cancelUpload(ctx context.Context, location *url.URL) {
	if resp, err := r.send(newRequest(ctx, http.MethodDelete, location), http.StatusNoContent, http.StatusAccepted); err == nil {
		_ = resp.Body.Close()
	}
}

// mount has the registry take a blob from another of its repositories. It returns where the bytes are to be sent if the
// registry has begun an upload instead, as startUpload does.
func (r *client) mount(ctx context.Context, desc v1.Descriptor, from string) (mounted bool, location *url.URL, least int64, err error) {
	u := r.url("blobs/uploads/")
	u.RawQuery = url.Values{"mount": {desc.Digest.String()}, "from": {from}}.Encode()
	resp, err := r.send(newRequest(ctx, http.MethodPost, u), http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return false, nil, 0, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusCreated {
		return true, nil, 0, nil
	}
	location, err = nextLocation(resp, nil)
	return false, location, leastPiece(resp), err
}

// uploadedTo returns how many bytes of an upload have arrived, and where the next ones are to be sent. It fails when
// the registry does not say.
func (r *client) uploadedTo(ctx context.Context, location *url.URL) (offset int64, next *url.URL, err error) {
	resp, err := r.send(newRequest(ctx, http.MethodGet, location), http.StatusNoContent, http.StatusAccepted, http.StatusOK)
	if err != nil {
		return 0, nil, err
	}
	_ = resp.Body.Close()
	offset, said := arrived(resp)
	if !said {
		return 0, nil, fmt.Errorf("the upload is at %q", resp.Header.Get("Range"))
	}
	next, err = nextLocation(resp, location)
	return offset, next, err
}

// arrived returns how many bytes of an upload a response says that the registry has, and whether it says so.
func arrived(resp *http.Response) (offset int64, said bool) {
	var first, last int64
	text := strings.TrimPrefix(resp.Header.Get("Range"), "bytes=")
	if n, err := fmt.Sscanf(text, "%d-%d", &first, &last); err != nil || n < 2 || first != 0 || last < 0 || last == math.MaxInt64 {
		return 0, false
	}
	if last == 0 {
		// Registries say "0-0" of one byte and of none.
		return 0, true
	}
	return last + 1, true
}

// sendBlob sends the bytes between two positions of a blob that has size bytes, as open returns them. It returns where
// the upload goes on or is to be completed, and how many of the blob's bytes the registry says that it has then: to when
// it does not say.
func (r *client) sendBlob(
	ctx context.Context, location *url.URL, from, to, size int64, open func() (io.ReadCloser, error),
) (next *url.URL, has int64, err error) {
	req := newRequest(withPatience(ctx, to-from), http.MethodPatch, location)
	req.Header.Set("Content-Type", "application/octet-stream")
	if from > 0 || to < size {
		req.Header.Set("Content-Range", fmt.Sprintf("%d-%d", from, to-1))
	}
	// A proxy that cuts connections after a number of bytes must not add the pieces up.
	req.Close = to < size
	if err := setBody(req, to-from, open); err != nil {
		return nil, 0, err
	}
	resp, err := r.send(req, http.StatusAccepted, http.StatusNoContent, http.StatusCreated, http.StatusOK)
	if err != nil {
		return nil, 0, err
	}
	_ = resp.Body.Close()
	has = to
	if offset, said := arrived(resp); said && offset > 0 {
		has = offset
	}
	next, err = nextLocation(resp, location)
	return next, has, err
}

// completeUpload ends an upload: after it the blob is there.
func (r *client) completeUpload(ctx context.Context, location *url.URL, desc v1.Descriptor) error {
	u := *location
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	// What the query holds already stays as it is: it may be signed.
	u.RawQuery += "digest=" + url.QueryEscape(desc.Digest.String())
	req := newRequest(withPatience(ctx, desc.Size), http.MethodPut, &u)
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := r.send(req, http.StatusCreated, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted) && !r.hasBlob(ctx, desc) {
		// The answer may be a proxy's page.
		return transport.CheckError(resp, http.StatusCreated, http.StatusNoContent)
	}
	return nil
}

// nextLocation returns where a response sends the next request of an upload, or before when it does not say.
func nextLocation(resp *http.Response, before *url.URL) (*url.URL, error) {
	header := resp.Header.Get("Location")
	if header == "" {
		if before == nil {
			return nil, errors.New("it has begun an upload without saying where")
		}
		return before, nil
	}
	given, err := url.Parse(header)
	if err != nil {
		return nil, errors.New("it sends an upload to what is not a URL")
	}
	to := resp.Request.URL.ResolveReference(given)
	return to, nil
}
