package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

// readBackFor is how long a written manifest may take to show. Some registries read from copies that lag behind.
const readBackFor = 30 * time.Second

// shows reports whether the destination is known to have the manifest as ref. If that is not known, the manifest has to be written.
// other is the digest of what the destination has there instead, empty when it has nothing or that is not known.
func (c *copier) shows(ctx context.Context, ref name.Reference, m *manifest) (shown bool, other string) {
	said, err := c.to.manifestDigest(ctx, ref.Identifier())
	if err != nil && !mayBeThere(err) {
		return false, ""
	}
	digest, parseErr := v1.NewHash(said)
	hasSaid := err == nil && parseErr == nil
	// The answer to a HEAD can be wrong in many ways. To believe it here would be to write nothing.
	raw, contentType, getErr := c.to.manifest(ctx, ref.Identifier())
	if getErr == nil {
		if string(raw) == string(m.raw) {
			return true, ""
		}
		if there, err := parseUnknown(contentType, raw); err == nil {
			return false, there.digest.String()
		}
		// It may be schema 1, of which only the registry knows the digest, or a proxy's page.
	}
	if hasSaid && !m.is(digest) {
		return false, digest.String()
	}
	return hasSaid && mayNotBeRead(getErr), ""
}

// mayNotBeRead reports whether the registry refuses to give a manifest, for want of rights or by a policy such as Harbor's on
// vulnerabilities. Then HEAD is all that can be known.
func mayNotBeRead(err error) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusPreconditionFailed,
		http.StatusUnavailableForLegalReasons}, answer.StatusCode)
}

// mayBeThere reports whether GET may find a manifest although HEAD was answered with err.
func mayBeThere(err error) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && !isNotFound(err) && answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusTooManyRequests &&
		answer.StatusCode < http.StatusInternalServerError
}

func isNotFound(err error) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && answer.StatusCode == http.StatusNotFound
}

// otherDigestError is returned when the destination shows something else than was written.
type otherDigestError struct{ text string }

func (e *otherDigestError) Error() string { return e.text }

// readBack asks the destination what it shows as ref now. It returns an error if that is something else than the root. If the
// destination shows nothing, that is no error: it has accepted the whole copy, and may let its writers not read. Then
// unconfirmed says why the copy could not be read.
func (c *copier) readBack(ctx context.Context, ref name.Reference, root *manifest) (unconfirmed string, err error) {
	began := time.Now()
	for tries := c.newTries("reading back " + ref.Identifier()); ; {
		err = c.fromDestination(c.readOnce(ctx, ref, root))
		switch {
		case err == nil:
			return "", nil
		case ctx.Err() != nil:
			return "", ctx.Err()
		case isNotFound(err), isA[*otherDigestError](err):
			// Not yet, perhaps: the time counts, not the tries.
			if time.Since(began) < readBackFor {
				c.meter.event(fmt.Sprintf("Reading back again: %s", classify(err).message))
				tries.pause(ctx, readBackFor-time.Since(began))
				continue
			}
		case tries.again(ctx, err):
			continue
		}
		if isA[*otherDigestError](err) {
			return "", err
		}
		return pull.Truncate(classify(err).message, maxUnconfirmed), ctx.Err()
	}
}

// readOnce returns nil when the destination shows the root as ref. What HEAD says counts only where the manifest itself
// may not be read.
func (c *copier) readOnce(ctx context.Context, ref name.Reference, root *manifest) error {
	raw, _, err := c.to.manifest(ctx, ref.Identifier())
	if err != nil {
		if mayNotBeRead(err) && c.says(ctx, ref, root) {
			return nil
		}
		return err
	}
	if shown := (&manifest{raw: raw}); !shown.is(root.digest) {
		return &otherDigestError{fmt.Sprintf("it shows another manifest, of %s, as %s, but %s was copied",
			pull.FormatBytes(int64(len(raw))), familiar(ref.Name()), root.digest)}
	}
	return nil
}

// says reports whether the destination says to HEAD that it has the manifest as ref.
func (c *copier) says(ctx context.Context, ref name.Reference, m *manifest) bool {
	said, err := c.to.manifestDigest(ctx, ref.Identifier())
	if err != nil {
		return false
	}
	digest, err := v1.NewHash(said)
	return err == nil && m.is(digest)
}

// maxUnconfirmed bounds the reason why a copy could not be read back: the outcome has to fit where Kubernetes keeps it.
const maxUnconfirmed = 1 << 10

// leftOf returns what an outcome says of layers that were left out.
func leftOf(layers []v1.Descriptor) *pull.Left {
	if len(layers) == 0 {
		return nil
	}
	left := &pull.Left{Count: len(layers)}
	for _, layer := range layers[:min(len(layers), pull.MaxLeft)] {
		left.Digests = append(left.Digests, layer.Digest.String())
	}
	return left
}
