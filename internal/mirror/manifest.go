package mirror

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"pullwatch/internal/pull"
)

var (
	errNoPlatform = errors.New("the index is empty: it has no image for any platform")
	errTooLarge   = fmt.Errorf("manifests that are larger than %s, or %s together", pull.FormatBytes(maxManifest), pull.FormatBytes(maxTree))
)

// unsupportedError is what parseManifest returns for a manifest that it cannot know the blobs of.
type unsupportedError struct {
	digest v1.Hash
	// why follows the digest in a sentence.
	why string
}

func (e *unsupportedError) Error() string { return e.digest.String() + " " + e.why }

// manifest is the manifest of an image or an index, byte by byte as the source has it.
type manifest struct {
	digest    v1.Hash
	mediaType types.MediaType
	raw       []byte
	// children are an index's manifests; leaves are the blobs: config and layers, or what else an index refers to.
	children, leaves []v1.Descriptor
	// config is an image's configuration, nil for an index.
	config *v1.Descriptor
	// hasSubject is true if the manifest belongs to another one, as a signature does.
	hasSubject bool
}

// RawManifest and MediaType make it a remote.Taggable.
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

// shape has the fields of a manifest that show what it is.
type shape struct {
	SchemaVersion int              `json:"schemaVersion"`
	MediaType     string           `json:"mediaType"`
	FSLayers      *json.RawMessage `json:"fsLayers"`
	Manifests     *json.RawMessage `json:"manifests"`
	Layers        *json.RawMessage `json:"layers"`
	Config        *json.RawMessage `json:"config"`
	Subject       *json.RawMessage `json:"subject"`
}

// parseManifest reads a manifest that the registry serves with a Content-Type. What it is follows from its bytes: from the type
// that it states, else from its shape. The Content-Type counts last, because registries and proxies get it wrong. No error
// quotes the manifest: a registry can redirect to content that nobody may read.
func parseManifest(digest v1.Hash, contentType string, raw []byte) (*manifest, error) {
	var s shape
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, malformed("manifest", digest, err)
	}
	said, served := withoutParameters(s.MediaType), withoutParameters(contentType)
	isIndex, isImage := s.Manifests != nil, s.Layers != nil || s.Config != nil
	switch {
	case s.SchemaVersion == 1, s.FSLayers != nil, said.IsSchema1(), said == "" && !isIndex && !isImage && served.IsSchema1():
		return nil, &unsupportedError{digest, "is in Docker's old format (schema 1), which registries no longer take"}
	case isIndex && isImage:
		return nil, &unsupportedError{digest, "is an image and an index at once, and which of them counts differs from tool to tool"}
	case said.IsIndex() && isImage, said.IsImage() && isIndex:
		return nil, &unsupportedError{digest, "says of itself that it is what it is not: an image and an index differ in what they hold"}
	case !isIndex && !isImage:
		// It is empty, or something else altogether.
		isIndex = said.IsIndex() || (said == "" && served.IsIndex())
		isImage = said.IsImage() || (said == "" && served.IsImage())
	}
	m := &manifest{digest: digest, raw: raw, hasSubject: s.Subject != nil}
	switch {
	case isIndex:
		m.mediaType = pushedType(said, served, served.IsIndex(), types.OCIImageIndex)
		return m, m.readIndex()
	case isImage:
		m.mediaType = pushedType(said, served, served.IsImage(), types.OCIManifestSchema1)
		return m, m.readImage()
	default:
		return nil, &unsupportedError{digest, fmt.Sprintf("is neither an image nor an index; it is served as %q", pull.Truncate(contentType, 100))}
	}
}

// parseUnknown is parseManifest for a manifest of which no digest is known.
func parseUnknown(contentType string, raw []byte) (*manifest, error) {
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return parseManifest(digest, contentType, raw)
}

// pushedType returns the type that a manifest is pushed with: the type that it states, else the one that it is served as, if that
// fits.
func pushedType(said, served types.MediaType, fits bool, otherwise types.MediaType) types.MediaType {
	switch {
	case said != "":
		return said
	case fits:
		return served
	default:
		return otherwise
	}
}

// withoutParameters returns a media type in lower case and without a charset and the like.
func withoutParameters(s string) types.MediaType {
	mediaType, _, err := mime.ParseMediaType(s)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return ""
	}
	return types.MediaType(mediaType)
}

func (m *manifest) readIndex() error {
	index, err := v1.ParseIndexManifest(bytes.NewReader(m.raw))
	if err != nil {
		return malformed("index", m.digest, err)
	}
	if len(index.Manifests) == 0 {
		return errNoPlatform
	}
	for _, child := range index.Manifests {
		if isManifest(child) {
			m.children = append(m.children, child)
		} else {
			m.leaves = append(m.leaves, child)
		}
	}
	return nil
}

// isManifest reports whether an index refers to a manifest, and not to a blob. Which kind of manifest the index says does not
// count.
func isManifest(desc v1.Descriptor) bool {
	t := withoutParameters(string(desc.MediaType))
	return t == "" || t.IsIndex() || t.IsImage() || t.IsSchema1()
}

func (m *manifest) readImage() error {
	image, err := v1.ParseManifest(bytes.NewReader(m.raw))
	if err != nil {
		return malformed("manifest", m.digest, err)
	}
	m.leaves = append(image.Layers, image.Config)
	m.config = &image.Config
	return nil
}

// malformed returns an error for a manifest that cannot be decoded. It has the decoder's error only where that quotes nothing.
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
