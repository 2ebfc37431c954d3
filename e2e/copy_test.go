package e2e

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestALargeImageIsCopiedOnceAndItsProgressNeverFalls(t *testing.T) {
	const layers, layerSize = 6, 52_000_000
	source := newSource(t)
	image, digest := source.image(t, "big:1", layerSize, layers)
	const half = layers * layerSize / 2
	gate := source.hold(t, half)
	s := startServer(t, newNamespace(t), insecure(source.host)...)

	began := time.Now()
	pull := s.startOne(t, image)
	updates := s.updates(t, pull.ID)
	seen := []pullJob{updates.until(t, "tells that half is copied", func(p pullJob) bool {
		return p.is("PULLING") && p.Progress.Percent >= 40
	})}
	toHalf := time.Since(began)
	gate.release()
	released := time.Now()
	seen = append(seen, updates.rest(t)...)
	rest := time.Since(released)

	last := seen[len(seen)-1]
	checkCopied(t, last, digest)
	checkNeverFalls(t, seen)
	checkBytesNeverFall(t, seen)
	if total := last.Progress.BytesTotal; total == nil || *total < layers*layerSize {
		t.Errorf("bytesTotal is %v", total)
	}
	figures.add(t, "from startPulls until half of 312 MB is reported", "%.1f s", toHalf.Seconds())
	figures.add(t, "second half, until SUCCEEDED", "%.1f s (%.0f MB/s)", rest.Seconds(), half/1e6/rest.Seconds())
	figures.add(t, "updates after half", "%d", len(seen)-1)

	t.Run("again", func(t *testing.T) {
		r := s.start(t, image)[0]
		if r.Error != nil || r.Joined || r.Pull.ID == pull.ID {
			t.Fatalf("started again: %+v", r)
		}
		last := s.outcome(t, r.Pull.ID)
		checkCopied(t, last, digest)
		if !strings.HasPrefix(last.Message, "Already there") {
			t.Errorf("blobs were copied again: %s", last.Message)
		}
		figures.add(t, "a pull that has nothing to copy", "%.1f s", last.FinishedAt.Sub(last.CreatedAt).Seconds())
	})
}

func TestAnIndexIsCopiedWithAllPlatforms(t *testing.T) {
	source := newSource(t)
	var images []platformImage
	for _, platform := range []v1.Platform{
		{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}, {OS: "windows", Architecture: "amd64"},
	} {
		images = append(images, platformImage{platform, randomImage(t, 2_000_000, 3)})
	}
	digest := source.push(t, "many:1", indexOf(images...))
	s := startServer(t, newNamespace(t), insecure(source.host)...)

	pull := s.startOne(t, source.host+"/many:1")
	updates := s.updates(t, pull.ID).rest(t)
	last := updates[len(updates)-1]
	checkCopied(t, last, digest)
	checkNeverFalls(t, updates)
	checkBytesNeverFall(t, updates)

	copied, err := describe(t, last.Destination.Registry+"/"+last.Destination.Repository+":1").ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := copied.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 3 {
		t.Fatalf("the copy has %d platforms", len(manifest.Manifests))
	}
	for _, child := range manifest.Manifests {
		checkBlobs(t, copied, child)
	}
}

// checkBlobs checks that all blobs of one image of an index can be read and are what they should be.
func checkBlobs(t *testing.T, index v1.ImageIndex, child v1.Descriptor) {
	t.Helper()
	image, err := index.Image(child.Digest)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		checkLayer(t, layer)
	}
	if _, err := image.ConfigFile(); err != nil {
		t.Errorf("config of %s: %v", child.Platform, err)
	}
}

// checkCopied checks a pull's last state, and that its destination has the image.
func checkCopied(t *testing.T, last pullJob, digest string) {
	t.Helper()
	checkSucceeded(t, last, digest)
	tagged := last.Destination.Registry + "/" + last.Destination.Repository + ":" + *last.Destination.Tag
	if got := describe(t, tagged).Digest.String(); got != digest {
		t.Errorf("%s is %s, want %s", tagged, got, digest)
	}
}

// checkSucceeded checks a pull's last state: it has copied the image of that digest.
func checkSucceeded(t *testing.T, last pullJob, digest string) {
	t.Helper()
	if !last.is("SUCCEEDED") || last.Failure != nil || last.FinishedAt == nil || last.StartedAt == nil {
		t.Fatalf("not copied: %+v %+v", last, last.Failure)
	}
	p := last.Progress
	if p.Percent != 100 || p.BytesTotal == nil || p.BytesDone != *p.BytesTotal {
		t.Errorf("progress in the end: %+v", p)
	}
	if got := last.Destination.Digest; got == nil || *got != digest {
		t.Errorf("destination's digest is told as %v, want %s", got, digest)
	}
}

// checkNeverFalls checks the order of one pull's updates: within an attempt percent does not fall, 100 is for
// the end, and no update is older than the one before.
func checkNeverFalls(t *testing.T, updates []pullJob) {
	t.Helper()
	for i, p := range updates {
		if p.Progress.Percent == 100 && !p.is("SUCCEEDED") {
			t.Errorf("100 %% although it is %s", p.Phase)
		}
		if i == 0 {
			continue
		}
		before := updates[i-1]
		if p.Attempts == before.Attempts && p.Progress.Percent < before.Progress.Percent {
			t.Errorf("progress fell from %+v to %+v", before.Progress, p.Progress)
		}
		if p.Attempts < before.Attempts {
			t.Errorf("attempts fell from %d to %d", before.Attempts, p.Attempts)
		}
		if p.UpdatedAt.Before(before.UpdatedAt) {
			t.Errorf("updatedAt fell from %s (%s: %s) to %s (%s: %s)",
				before.UpdatedAt, before.Phase, before.Message, p.UpdatedAt, p.Phase, p.Message)
		}
	}
}

// checkBytesNeverFall is for pulls of which no upload fails: the bytes of one that does are taken back.
func checkBytesNeverFall(t *testing.T, updates []pullJob) {
	t.Helper()
	for i, p := range updates[1:] {
		if before := updates[i]; p.Attempts == before.Attempts && p.Progress.BytesDone < before.Progress.BytesDone {
			t.Errorf("progress fell from %+v to %+v", before.Progress, p.Progress)
		}
	}
}
