package demo

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"pullwatch/internal/pull"
)

// image is what a source reference names. It is computed from the reference, so an image always has the same size.
type image struct {
	reference, host, repository, tag string
	digest                           string
	blobs                            []blob
	size                             int64
	// copying is how long copying takes.
	copying time.Duration
}

type blob struct {
	digest string
	size   int64
	// shared is true for a blob that the destination has already.
	shared bool
}

// newImage computes the image of a reference.
func newImage(reference string) image {
	sum := sha256.Sum256([]byte(reference))
	img := image{reference: reference, digest: fmt.Sprintf("sha256:%x", sum)}
	img.host, img.repository, _ = strings.Cut(reference, "/")
	if parsed, err := pull.ParseImage(reference); err == nil {
		img.host, img.repository = parsed.Registry, parsed.Repository
		if parsed.Tag != nil {
			img.tag = *parsed.Tag
		}
		if parsed.Digest != nil {
			img.digest = *parsed.Digest
		}
	}
	draw := func(i, n int) int { return int(binary.BigEndian.Uint16(sum[2*i:])) % n }
	// Most images are small and a few are huge.
	total := int64(20<<20) << draw(0, 7)
	layers := 3 + draw(1, 7)
	for i := range layers {
		share := total * int64(20+draw(2+i, 200)) / int64(120*layers)
		digest := sha256.Sum256(fmt.Appendf(nil, "%s %d", reference, i))
		shared := i == 0 && draw(12, 3) == 0
		img.blobs = append(img.blobs, blob{digest: fmt.Sprintf("sha256:%x", digest), size: share, shared: shared})
		img.size += share
	}
	img.copying = 5*time.Second + time.Duration(draw(13, 14_000))*time.Millisecond
	return img
}

// digestFor returns the digest of what is copied. A copy of some platforms has an index of its own.
func (img *image) digestFor(platforms []string) string {
	if platforms == nil || slices.Equal(platforms, demoPlatforms) {
		return img.digest
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(img.digest+pull.JoinPlatforms(platforms))))
}

// toCopy is how many bytes the destination does not have yet.
func (img *image) toCopy() int64 {
	n := img.size
	for _, b := range img.blobs {
		if b.shared {
			n -= b.size
		}
	}
	return n
}

// fill replaces the placeholders in a message.
func (img *image) fill(message, destination string) string {
	return strings.NewReplacer("{host}", img.host, "{image}", img.reference, "{repository}", img.repository,
		"{tag}", img.tag, "{destination}", destination).Replace(message)
}
