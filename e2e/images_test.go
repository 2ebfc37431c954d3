package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// pushProgram pushes an image that holds nothing but a program, under a tag that is the program's own, and returns its
// reference.
func pushProgram(ctx context.Context, file, repository string) (string, error) {
	program, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	entry := "/" + filepath.Base(file)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: entry[1:], Mode: 0o755, Size: int64(len(program))}); err != nil {
		return "", err
	}
	if _, err := w.Write(program); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		return "", err
	}
	config := &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{Entrypoint: []string{entry}},
	}
	image, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		return "", err
	}
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	ref, err := name.ParseReference(repository+":"+digest.Hex[:12], name.Insecure)
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, image, remote.WithContext(ctx)); err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	return ref.Name(), nil
}

// randomImage makes an image of that many layers, of size bytes each, that no registry has yet.
func randomImage(t *testing.T, size int64, layers int64) v1.Image {
	t.Helper()
	image, err := random.Image(size, layers)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// platformImage is an image for a platform.
type platformImage struct {
	platform v1.Platform
	image    v1.Image
}

// indexOf makes an index of images for several platforms.
func indexOf(images ...platformImage) v1.ImageIndex {
	var index v1.ImageIndex = empty.Index
	for _, i := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i.image, Descriptor: v1.Descriptor{Platform: &i.platform}})
	}
	return index
}

// push pushes an image or an index to a registry that is spoken to over plain HTTP, and returns its digest.
func push(t *testing.T, reference string, what interface{ Digest() (v1.Hash, error) }, auth authn.Authenticator) string {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	options := []remote.Option{remote.WithContext(t.Context()), remote.WithAuth(auth)}
	switch what := what.(type) {
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what, options...)
	case v1.Image:
		err = remote.Write(ref, what, options...)
	default:
		t.Fatalf("cannot push a %T", what)
	}
	if err != nil {
		t.Fatalf("push %s: %v", reference, err)
	}
	digest, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// describe returns what a registry has under a reference.
func describe(t *testing.T, reference string) *remote.Descriptor {
	t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Get(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("%s: %v", reference, err)
	}
	return desc
}

// checkLayer reads a layer from its registry, which checks its digest.
func checkLayer(t *testing.T, layer v1.Layer) {
	t.Helper()
	blob, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if _, err := io.Copy(io.Discard, blob); err != nil {
		t.Errorf("read a layer of the copy: %v", err)
	}
}
