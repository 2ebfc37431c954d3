package mirror

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"pullwatch/internal/pull"
)

func TestASecondCopyMovesNothing(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		image := randomImage(t, 100_000, 6)
		digest, total := l.push("source.test/app:1", image), bytesOf(t, image)

		first := l.copy(t.Context(), "source.test/app:1", "destination.test/mirror/app:1")
		first.succeeded(t, digest)
		if first.outcome.BytesTotal != total || first.outcome.BytesCopied != total {
			t.Errorf("outcome %+v, want %d bytes copied of as many", first.outcome, total)
		}
		for _, words := range []string{"Reading manifests of source.test/app:1",
			fmt.Sprintf("Copying %s in 7 blobs", pull.FormatBytes(total)), "Copied " + pull.FormatBytes(total)} {
			if !first.said(words) {
				t.Errorf("no report says %q", words)
			}
		}

		l.source.forget()
		l.destination.forget()
		second := l.copy(t.Context(), "source.test/app:1", "destination.test/mirror/app:1")
		second.succeeded(t, digest)
		if second.outcome.BytesTotal != total || second.outcome.BytesCopied != 0 || !second.said("Already there") {
			t.Errorf("outcome %+v, want nothing copied of %d bytes", second.outcome, total)
		}
		if n := l.source.count("GET", "/blobs/") + l.destination.count("PATCH", "") + l.destination.count("PUT", ""); n != 0 {
			t.Errorf("%d requests moved what was there already", n)
		}
	})
}

func TestImagesAreCopiedByTagAndByDigest(t *testing.T) {
	image := randomImage(t, 1000, 1)
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	by := "@" + digest.String()
	other := "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for _, test := range []struct{ source, destination, stored string }{
		{"source.test/app:1", "destination.test/app:2", "2"},
		{"source.test/app" + by, "destination.test/app" + by, digest.String()},
		{"source.test/app:gone" + by, "destination.test/app:2" + by, "2"},
		{"source.test/app:1", "destination.test/app", "latest"},
		{"source.test/app:1", "destination.test/app:2" + other, ""},
	} {
		t.Run(test.source+" "+test.destination, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				l.push("source.test/app:1", image)
				r := l.copy(t.Context(), test.source, test.destination)
				if test.stored == "" {
					r.failed(t, pull.ExitPermanent, pull.Invalid, "The destination asks for sha256:000", digest.String())
					return
				}
				r.succeeded(t, digest)
				if l.destination.count("PUT", "/manifests/"+test.stored) != 1 {
					t.Errorf("not stored as %q: %v", test.stored, l.destination.asked)
				}
			})
		})
	}
}

// An index with a nested one, two images that share a layer, one that has a layer twice, and an attestation.
func TestANestedIndexIsCopiedWhole(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		shared := static.NewLayer(make([]byte, 5000), types.OCILayer)
		appendLayers := func(image v1.Image, layers ...v1.Layer) v1.Image {
			image, err := mutate.AppendLayers(mutate.MediaType(image, types.OCIManifestSchema1), layers...)
			if err != nil {
				t.Fatal(err)
			}
			return image
		}
		amd := appendLayers(randomImage(t, 3000, 2), shared)
		arm := appendLayers(randomImage(t, 4000, 3), shared, shared)
		attestation := appendLayers(empty.Image, static.NewLayer([]byte(`{"predicate":"x"}`), "application/vnd.in-toto+json"))
		inner := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: arm},
			mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}})
		outer := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: amd}, mutate.IndexAddendum{Add: inner},
			mutate.IndexAddendum{Add: arm})
		digest, total := l.push("source.test/app:1", outer), bytesOf(t, amd, arm, attestation)

		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		if r.outcome.BytesTotal != total || r.outcome.BytesCopied != total {
			t.Errorf("outcome %+v, want %d bytes", r.outcome, total)
		}
		// Three images, the inner index, and the tag.
		if n := l.destination.count("PUT", "/manifests/"); n != 5 {
			t.Errorf("%d manifests were put, want 5", n)
		}
	})
}

// A registry that has lost a part of an index that it still shows gets the part again.
func TestAManifestThatTheRegistryLostIsSentAgain(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		child := randomImage(t, 1000, 1)
		digest := l.push("source.test/app:1", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: child}))
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
		lost, err := child.Digest()
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewDigest("destination.test/app@"+lost.String(), name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Delete(ref, remote.WithTransport(l.base)); err != nil {
			t.Fatal(err)
		}
		l.base.CloseIdleConnections()
		l.destination.forget()
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		if l.destination.count("PUT", "/manifests/"+lost.String()) != 1 || l.destination.count("PUT", "/manifests/") != 1 || r.outcome.ManifestsWritten != 1 {
			t.Errorf("asked %v, outcome %+v; want just the lost manifest written", l.destination.asked, r.outcome)
		}
	})
}

func TestBlobsOfTheSameRegistryAreMounted(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/team/app:1", randomImage(t, 1000, 3))
		r := l.copy(t.Context(), "source.test/team/app:1", "source.test/mirror/app:1")
		r.succeeded(t, digest)
		if n := l.source.count("GET", "/blobs/") + l.source.count("PATCH", ""); n != 0 || r.outcome.BytesCopied != 0 {
			t.Errorf("%d transfers and %d bytes for what could be mounted", n, r.outcome.BytesCopied)
		}
	})
}

func TestOnlyMissingBlobsAreCopied(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		below := randomImage(t, 2000, 2)
		above, err := mutate.AppendLayers(below, static.NewLayer(make([]byte, 700), types.DockerLayer))
		if err != nil {
			t.Fatal(err)
		}
		l.push("destination.test/app:1", below)
		digest := l.push("source.test/app:2", above)
		r := l.copy(t.Context(), "source.test/app:2", "destination.test/app:2")
		r.succeeded(t, digest)
		config, err := above.RawConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(700 + len(config)); r.outcome.BytesCopied != want {
			t.Errorf("%d bytes were copied, want %d", r.outcome.BytesCopied, want)
		}
	})
}

func TestProgressIsReportedWhileCopying(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 1_000_000, 1))
		// One tenth of the layer a second.
		l.source.fault = slowly(l.source, 100_000)
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		moving := 0
		for _, report := range r.reports {
			if report.BytesPerSecond > 50_000 && report.BytesPerSecond < 150_000 && report.BytesTotal != nil {
				moving++
			}
		}
		if moving < 7 {
			t.Errorf("%d reports tell of about 100 kB/s, want most of ten: %+v", moving, r.reports)
		}
	})
}

func TestACanceledCopyMayBeTriedAgain(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", randomImage(t, 100_000, 8))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if !isBlobGet(r) {
				return false
			}
			w.Header().Set("Content-Length", "1000000")
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			cancel()
			<-r.Context().Done()
			return true
		}
		r := l.copy(ctx, "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitTransient, pull.Unknown, "Stopped before the copy was complete")
	})
}
