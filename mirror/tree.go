package mirror

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"pullwatch/pull"
)

// maxTree bounds the bytes of all manifests of an image together, which are held in memory while it is copied.
const maxTree = 16 << 20

var (
	errNoPlatform = errors.New("the index is empty: it has no image for any platform")
	errTooLarge   = fmt.Errorf("manifests that are larger than %s, or %s together", pull.FormatBytes(maxManifest), pull.FormatBytes(maxTree))
)

// unsupportedError is what parseManifest returns for a manifest that it cannot know the blobs of. The media type is the
// one that the registry serves it as.
type unsupportedError struct {
	digest    v1.Hash
	mediaType types.MediaType
}

func (e *unsupportedError) Error() string {
	if e.mediaType.IsSchema1() {
		return fmt.Sprintf("%s is in Docker's old format (schema 1), which registries no longer take", e.digest)
	}
	return fmt.Sprintf("%s is neither an image nor an index; it is served as %q", e.digest, e.mediaType)
}

// manifest is the manifest of an image or an index, byte by byte as the source has it.
type manifest struct {
	digest    v1.Hash
	mediaType types.MediaType
	raw       []byte
	// children are an index's manifests; leaves are the blobs: config and layers, or what else an index refers to.
	children, leaves []v1.Descriptor
}

// RawManifest and MediaType make it what a Pusher puts.
func (m *manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m *manifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }

// is reports whether h is the manifest's digest, in whichever algorithm h is.
func (m *manifest) is(h v1.Hash) bool {
	hasher, err := v1.Hasher(h.Algorithm)
	if err != nil {
		return false
	}
	hasher.Write(m.raw)
	return hex.EncodeToString(hasher.Sum(nil)) == h.Hex
}

// tree holds an image's manifests, each of them once, by digest.
type tree struct {
	root      *manifest
	manifests map[v1.Hash]*manifest
}

// byHeight returns the manifests so that each comes behind all that it refers to: images, then indexes of images, then
// indexes of those; the root alone is last.
func (t *tree) byHeight() [][]*manifest {
	heights := make(map[v1.Hash]int, len(t.manifests))
	var heightOf func(*manifest) int
	heightOf = func(m *manifest) int {
		height, known := heights[m.digest]
		if !known {
			for _, child := range m.children {
				height = max(height, 1+heightOf(t.manifests[child.Digest]))
			}
			heights[m.digest] = height
		}
		return height
	}
	levels := make([][]*manifest, 1+heightOf(t.root))
	for digest, height := range heights {
		levels[height] = append(levels[height], t.manifests[digest])
	}
	return levels
}

// blobs returns every blob of the tree once.
func (t *tree) blobs() ([]v1.Descriptor, error) {
	var blobs []v1.Descriptor
	var total int64
	sizes := make(map[v1.Hash]int64)
	for _, m := range t.manifests {
		for _, blob := range m.leaves {
			// Layers that may not be passed on stay where their URLs say; registries do without them.
			if !blob.MediaType.IsDistributable() {
				continue
			}
			known, seen := sizes[blob.Digest]
			if seen && known == blob.Size {
				continue
			}
			total += blob.Size
			if seen || blob.Size < 0 || total < 0 || blob.Digest == (v1.Hash{}) {
				return nil, fmt.Errorf("manifest %s describes a blob wrongly: %s of %d bytes", m.digest, blob.Digest, blob.Size)
			}
			sizes[blob.Digest] = blob.Size
			blobs = append(blobs, blob)
		}
	}
	return blobs, nil
}

// readTree reads every manifest that the source refers to.
func (c *copier) readTree(ctx context.Context) (*tree, error) {
	root, err := c.readManifest(ctx, c.source)
	if err != nil {
		return nil, err
	}
	t := &tree{root: root, manifests: map[v1.Hash]*manifest{root.digest: root}}
	room := int64(maxTree - len(root.raw))
	for level := []*manifest{root}; len(level) > 0; {
		var refs []name.Reference
		var promised []int64
		asked := make(map[v1.Hash]bool)
		for _, parent := range level {
			for _, child := range parent.children {
				if asked[child.Digest] || t.manifests[child.Digest] != nil {
					continue
				}
				asked[child.Digest] = true
				if room -= child.Size; child.Size < 0 || room < 0 {
					return nil, c.fromSource(errTooLarge)
				}
				promised = append(promised, child.Size)
				refs = append(refs, c.source.Context().Digest(child.Digest.String()))
			}
		}
		if level, err = c.readManifests(ctx, refs); err != nil {
			return nil, err
		}
		for i, m := range level {
			// What a parent says of a child's size was only a promise.
			if room -= max(0, int64(len(m.raw))-promised[i]); room < 0 {
				return nil, c.fromSource(errTooLarge)
			}
			t.manifests[m.digest] = m
		}
	}
	return t, nil
}

func (c *copier) readManifests(ctx context.Context, refs []name.Reference) ([]*manifest, error) {
	manifests := make([]*manifest, len(refs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, ref := range refs {
		group.Go(func() (err error) {
			manifests[i], err = c.readManifest(ctx, ref)
			return err
		})
	}
	return manifests, group.Wait()
}

func (c *copier) readManifest(ctx context.Context, ref name.Reference) (*manifest, error) {
	var m *manifest
	err := c.retry(ctx, "manifest "+ref.Identifier(), func() error {
		desc, err := c.puller.Get(ctx, ref)
		if err != nil {
			return c.fromSource(err)
		}
		m, err = parseManifest(desc.Digest, desc.MediaType, desc.Manifest)
		return c.fromSource(err)
	})
	return m, err
}

// parseManifest quotes no word of a manifest in its errors: a registry can redirect to what nobody may read.
func parseManifest(digest v1.Hash, served types.MediaType, raw []byte) (*manifest, error) {
	mediaType := served
	if !mediaType.IsIndex() && !mediaType.IsImage() {
		// Some registries serve manifests as plain JSON; what the manifest says of itself counts then.
		var self struct {
			MediaType types.MediaType `json:"mediaType"`
		}
		if err := json.Unmarshal(raw, &self); err != nil {
			return nil, malformed("manifest", digest, err)
		}
		if !mediaType.IsSchema1() && self.MediaType != "" {
			mediaType = self.MediaType
		}
	}
	m := &manifest{digest: digest, mediaType: mediaType, raw: raw}
	switch {
	case mediaType.IsIndex():
		index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return nil, malformed("index", digest, err)
		}
		if len(index.Manifests) == 0 {
			return nil, errNoPlatform
		}
		for _, child := range index.Manifests {
			switch {
			case child.MediaType.IsIndex() || child.MediaType.IsImage():
				m.children = append(m.children, child)
			case child.MediaType.IsSchema1():
				return nil, &unsupportedError{digest, types.DockerManifestSchema1}
			default:
				m.leaves = append(m.leaves, child)
			}
		}
	case mediaType.IsImage():
		image, err := v1.ParseManifest(bytes.NewReader(raw))
		if err != nil {
			return nil, malformed("manifest", digest, err)
		}
		m.leaves = append(image.Layers, image.Config)
	case mediaType.IsSchema1():
		return nil, &unsupportedError{digest, types.DockerManifestSchema1}
	default:
		return nil, &unsupportedError{digest, served}
	}
	return m, nil
}

// malformed returns an error for a manifest that cannot be decoded: that of the decoder only where it quotes nothing.
func malformed(what string, digest v1.Hash, err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s %s: %w", what, digest, err)
	case isA[*json.SyntaxError](err):
		return fmt.Errorf("%s %s is not JSON", what, digest)
	default:
		return fmt.Errorf("%s %s is JSON, but none that makes up an image", what, digest)
	}
}
