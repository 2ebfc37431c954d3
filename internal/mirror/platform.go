package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"pullwatch/internal/pull"
)

// belongsTo is the annotation by which BuildKit says in an index to which image an attestation belongs.
const belongsTo = "vnd.docker.reference.digest"

// platformError says that an image lacks a platform that was asked for.
type platformError struct{ lacks, has []string }

func (e *platformError) Error() string {
	text := "it lacks " + strings.Join(e.lacks, ", ")
	if len(e.has) == 0 {
		return text + ", and does not say of itself for which platform it is"
	}
	const most = 30
	text += "; it has " + strings.Join(e.has[:min(len(e.has), most)], ", ")
	if len(e.has) > most {
		text += " and others"
	}
	return text
}

// entry is a manifest that an index names, or an index within it.
type entry struct {
	// raw is the index's descriptor of it.
	raw    json.RawMessage
	digest v1.Hash
	// platform is empty for what belongs to the image with the digest subject.
	platform, subject string
}

// chooser looks for the platforms of an image.
type chooser struct {
	c *copier
	// entries are those of the index and of all indexes within it. Those that are for no platform are left out.
	entries []entry
	// partial is set when an entry was left out, or an index within was resolved.
	partial bool
	seen    map[v1.Hash]bool
	// room is how many bytes may still be read.
	room int64
}

// choose returns the manifest that is copied. That is the root when all of it is for the platforms that were asked for. Otherwise
// it is an index of these alone, with what belongs to their images. The same source and platforms give the same index.
func (c *copier) choose(ctx context.Context, root *manifest) (*manifest, error) {
	if c.platforms == nil {
		return root, nil
	}
	ch := &chooser{c: c, seen: make(map[v1.Hash]bool), room: maxTree}
	var err error
	if root.config != nil {
		err = ch.addImage(ctx, root, entry{digest: root.digest})
	} else {
		err = ch.addIndex(ctx, root)
	}
	if err != nil {
		return nil, err
	}
	chosen, err := ch.chosen()
	if err != nil {
		return nil, c.fromSource(err)
	}
	if !ch.partial && len(chosen) == len(ch.entries) {
		return root, nil
	}
	index, err := indexOf(root, chosen)
	if err != nil {
		return nil, c.fromSource(err)
	}
	c.meter.event(fmt.Sprintf("With nothing but %s the image is %s", strings.Join(c.platforms, ", "), index.digest))
	return index, nil
}

func (ch *chooser) addIndex(ctx context.Context, index *manifest) error {
	var list struct{ Manifests []json.RawMessage }
	if err := json.Unmarshal(index.raw, &list); err != nil {
		return ch.c.fromSource(malformed("index", index.digest, err))
	}
	for _, raw := range list.Manifests {
		var desc v1.Descriptor
		if err := json.Unmarshal(raw, &desc); err != nil {
			return ch.c.fromSource(malformed("index", index.digest, err))
		}
		if err := ch.add(ctx, raw, desc); err != nil {
			return err
		}
	}
	return nil
}

func (ch *chooser) add(ctx context.Context, raw json.RawMessage, desc v1.Descriptor) error {
	e := entry{raw: raw, digest: desc.Digest}
	said := desc.Platform
	if said == nil || said.OS+said.Architecture == "" {
		said = nil
	} else {
		e.platform = pull.PlatformName(said.OS, said.Architecture, said.Variant)
	}
	switch {
	case e.platform != "":
		ch.entries = append(ch.entries, e)
	case desc.Annotations[belongsTo] != "":
		e.subject = desc.Annotations[belongsTo]
		ch.entries = append(ch.entries, e)
	case said != nil, !isManifest(desc):
		ch.partial = true
	default:
		return ch.addUnnamed(ctx, e, desc)
	}
	return nil
}

// addUnnamed adds an entry without a platform: an image, whose configuration has its platform, or an index.
func (ch *chooser) addUnnamed(ctx context.Context, e entry, desc v1.Descriptor) error {
	if ch.seen[desc.Digest] {
		ch.partial = true
		return nil
	}
	ch.seen[desc.Digest] = true
	m, err := ch.c.readPart(ctx, desc.Digest)
	if err != nil {
		return err
	}
	if ch.room -= int64(len(m.raw)); ch.room < 0 {
		return ch.c.fromSource(errTooLarge)
	}
	if m.config != nil {
		return ch.addImage(ctx, m, e)
	}
	ch.partial = true
	return ch.addIndex(ctx, m)
}

// addImage adds an image as its configuration describes it.
func (ch *chooser) addImage(ctx context.Context, image *manifest, e entry) error {
	if ch.room -= image.config.Size; ch.room < 0 || image.config.Size < 0 {
		return ch.c.fromSource(errTooLarge)
	}
	raw, err := ch.c.readConfig(ctx, *image.config)
	if err != nil {
		return err
	}
	var said struct{ OS, Architecture, Variant string }
	// What is no image, such as a chart, has another configuration, or none in JSON.
	if json.Unmarshal(raw, &said) == nil {
		e.platform = pull.PlatformName(said.OS, said.Architecture, said.Variant)
	}
	if e.platform == "" {
		ch.partial = true
		return nil
	}
	ch.entries = append(ch.entries, e)
	return nil
}

// chosen returns the entries that are copied, in their order.
func (ch *chooser) chosen() ([]entry, error) {
	has := make(map[string]bool)
	digests := make(map[string]bool)
	for _, e := range ch.entries {
		if e.platform != "" {
			has[e.platform] = true
			if slices.Contains(ch.c.platforms, e.platform) {
				digests[e.digest.String()] = true
			}
		}
	}
	var lacks []string
	for _, platform := range ch.c.platforms {
		if !has[platform] {
			lacks = append(lacks, platform)
		}
	}
	if lacks != nil {
		return nil, &platformError{lacks: lacks, has: slices.Sorted(maps.Keys(has))}
	}
	var chosen []entry
	for _, e := range ch.entries {
		if slices.Contains(ch.c.platforms, e.platform) || digests[e.subject] {
			chosen = append(chosen, e)
		}
	}
	return chosen, nil
}

// indexOf returns an index like root that has the entries and no others.
func indexOf(root *manifest, entries []entry) (*manifest, error) {
	var index struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		ArtifactType  string            `json:"artifactType,omitempty"`
		Manifests     []json.RawMessage `json:"manifests"`
		Subject       *json.RawMessage  `json:"subject,omitempty"`
		Annotations   map[string]string `json:"annotations,omitempty"`
	}
	if err := json.Unmarshal(root.raw, &index); err != nil {
		return nil, malformed("index", root.digest, err)
	}
	index.MediaType, index.Manifests = string(root.mediaType), nil
	for _, e := range entries {
		index.Manifests = append(index.Manifests, e.raw)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	return parseUnknown(index.MediaType, raw)
}

// readConfig returns the configuration of an image at the source.
func (c *copier) readConfig(ctx context.Context, desc v1.Descriptor) (raw []byte, err error) {
	what := "blob " + desc.Digest.String()
	err = c.retry(ctx, what, func() error {
		if raw, err = c.fetchConfig(ctx, desc); err != nil {
			return c.fromSource(&partError{what, err})
		}
		return nil
	})
	return raw, err
}

func (c *copier) fetchConfig(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	blob, err := newBlob(c, desc)
	if err != nil {
		return nil, err
	}
	stream, _, err := blob.stream(ctx, 0)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(stream, desc.Size+1))
	if err := errors.Join(err, stream.Close()); err != nil {
		return nil, err
	}
	if !(&manifest{raw: raw}).is(desc.Digest) {
		return nil, &mismatchError{fmt.Sprintf("blob %s has another digest", desc.Digest)}
	}
	return raw, nil
}
