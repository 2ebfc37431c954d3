package mirror

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// maxTree bounds the bytes of all manifests of an image together, which are held in memory while it is copied.
const maxTree = 16 << 20

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

// readTree reads all manifests of the source, or those for the platforms that were asked for.
func (c *copier) readTree(ctx context.Context) (*tree, error) {
	root, err := c.readManifest(ctx, c.source.Identifier())
	if err != nil {
		return nil, err
	}
	c.meter.resolved(root.digest)
	if root, err = c.choose(ctx, root); err != nil {
		return nil, err
	}
	t := &tree{root: root, manifests: map[v1.Hash]*manifest{root.digest: root}}
	var room atomic.Int64
	room.Store(int64(maxTree - len(root.raw)))
	for level := []*manifest{root}; len(level) > 0; {
		var digests []v1.Hash
		promised := int64(0)
		asked := make(map[v1.Hash]bool)
		for _, parent := range level {
			for _, child := range parent.children {
				if asked[child.Digest] || t.manifests[child.Digest] != nil {
					continue
				}
				asked[child.Digest] = true
				if child.Size < 0 || child.Size > room.Load()-promised {
					return nil, c.fromSource(errTooLarge)
				}
				promised += child.Size
				digests = append(digests, child.Digest)
			}
		}
		if level, err = c.readManifests(ctx, digests, &room); err != nil {
			return nil, err
		}
		for _, m := range level {
			t.manifests[m.digest] = m
		}
	}
	return t, nil
}

// readManifests subtracts the size of each manifest from room as it arrives: the size that its parent states is only a promise.
func (c *copier) readManifests(ctx context.Context, digests []v1.Hash, room *atomic.Int64) ([]*manifest, error) {
	manifests := make([]*manifest, len(digests))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, digest := range digests {
		group.Go(func() error {
			m, err := c.readPart(ctx, digest)
			if err == nil && room.Add(-int64(len(m.raw))) < 0 {
				err = c.fromSource(errTooLarge)
			}
			manifests[i] = m
			return err
		})
	}
	return manifests, group.Wait()
}

// readPart reads a manifest that another one refers to.
func (c *copier) readPart(ctx context.Context, digest v1.Hash) (m *manifest, err error) {
	what := "manifest " + digest.String()
	err = c.retry(ctx, what, func() error {
		m, err = c.fetchManifest(ctx, digest.String())
		if err != nil {
			return c.fromSource(&partError{what, err})
		}
		return nil
	})
	return m, err
}

func (c *copier) readManifest(ctx context.Context, identifier string) (m *manifest, err error) {
	err = c.retry(ctx, "manifest "+identifier, func() error {
		m, err = c.fetchManifest(ctx, identifier)
		return c.fromSource(err)
	})
	return m, err
}

// fetchManifest asks the source once for a manifest. One that is asked for by its digest has it.
func (c *copier) fetchManifest(ctx context.Context, identifier string) (*manifest, error) {
	raw, contentType, err := c.from.manifest(ctx, identifier)
	if err != nil {
		return nil, err
	}
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	asked, err := v1.NewHash(identifier)
	byDigest := err == nil
	if byDigest {
		digest = asked
	}
	m, err := parseManifest(digest, contentType, raw)
	// The digest of schema 1 is made of other content. Schema 1 is refused anyway.
	if byDigest && !isA[*unsupportedError](err) && !(&manifest{raw: raw}).is(asked) {
		return nil, &mismatchError{fmt.Sprintf("it gives another manifest for %s", asked)}
	}
	return m, err
}
