package e2e

import (
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// One image is pulled to one tag for one platform after the other.
func TestAPullOfOnePlatformCopiesThatAlone(t *testing.T) {
	source := newSource(t)
	image := source.host + "/team/app:1"
	amd := platformImage{v1.Platform{OS: "linux", Architecture: "amd64"}, randomImage(t, 100_000, 2)}
	arm := platformImage{v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}, randomImage(t, 100_000, 2)}
	whole := source.push(t, "team/app:1", indexOf(amd, arm))
	namespace := newNamespace(t)
	s := startServer(t, namespace, insecure(source.host)...)
	destination := env.Registry + "/" + namespace + "/{registry}/{repository}"
	repository := namespace + "/" + strings.ReplaceAll(source.host, ":", "_") + "/team/app"

	lacking := s.startTo(t, destination, image, "linux/s390x")
	first := s.outcome(t, s.startTo(t, destination, image, "linux/arm64/v8").ID)
	checkPlatform(t, first, "linux/arm64", repository, whole, arm)
	if strings.Contains(first.Message, "replaced") {
		t.Errorf("nothing was there: %s", first.Message)
	}
	second := s.outcome(t, s.startTo(t, destination, image, "linux/amd64").ID)
	checkPlatform(t, second, "linux/amd64", repository, whole, amd)
	if !strings.Contains(second.Message, "replaced "+*first.Destination.Digest) {
		t.Errorf("the message does not name %s, which it replaced: %s", *first.Destination.Digest, second.Message)
	}

	failed := s.outcome(t, lacking.ID)
	checkFailure(t, failed, "NO_PLATFORM", "it lacks linux/s390x; it has linux/amd64, linux/arm64")
	if failed.Attempts != 1 {
		t.Errorf("what is not there was tried %d times", failed.Attempts)
	}
	late := platformImage{v1.Platform{OS: "linux", Architecture: "s390x"}, randomImage(t, 100_000, 2)}
	whole = source.push(t, "team/app:1", indexOf(amd, arm, late))
	again, err := s.retry(t, failed.ID)
	if err != nil {
		t.Fatal(err)
	}
	checkPlatform(t, s.outcome(t, again.ID), "linux/s390x", repository, whole, late)
}

// checkPlatform checks the last state of a pull of one platform of an image that has more, and that what has arrived is
// an index with that platform alone. whole is the digest of all of the image.
func checkPlatform(t *testing.T, last pullJob, platform, repository, whole string, want platformImage) {
	t.Helper()
	if last.Destination.Digest == nil || last.Image.Digest == nil {
		t.Fatalf("a digest is missing: %+v %+v", last, last.Failure)
	}
	digest := *last.Destination.Digest
	checkCopied(t, last, digest)
	if !slices.Equal(last.Platforms, []string{platform}) || *last.Image.Digest != whole || digest == whole {
		t.Errorf("platforms %q, image's digest %s, destination's %s; want %s of %s, and another digest of that alone",
			last.Platforms, *last.Image.Digest, digest, platform, whole)
	}
	if last.Destination.Registry != env.Registry || last.Destination.Repository != repository {
		t.Errorf("the copy is at %s/%s, want %s/%s", last.Destination.Registry, last.Destination.Repository, env.Registry, repository)
	}
	copied, err := describe(t, env.Registry+"/"+repository+":1").ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	index, err := copied.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	image, err := want.image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != image || !index.Manifests[0].Platform.Equals(want.platform) {
		t.Fatalf("the copy has %+v, want %s for %s alone", index.Manifests, image, want.platform)
	}
	checkBlobs(t, copied, index.Manifests[0])
}
