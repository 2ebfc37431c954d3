package pull

import (
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"

	"pullwatch/internal/usererr"
)

// ImageReference names an image in a registry, with every default filled in. ParseImage and At make it.
type ImageReference struct {
	Name       string
	Registry   string
	Repository string
	// At least one of Tag and Digest is set.
	Tag    *string
	Digest *string
}

// maxReference bounds what is parsed, in bytes. The longest valid name with a tag and a sha512 digest is shorter.
const maxReference = 600

// ParseImage parses a reference as Docker does: "nginx" is docker.io/library/nginx:latest. An error is a
// usererr.BadInput that names what is wrong.
func ParseImage(s string) (ImageReference, error) {
	if len(s) > maxReference {
		return ImageReference{}, usererr.New(usererr.BadInput, "image reference is longer than %d bytes", maxReference)
	}
	if strings.Contains(s, "://") {
		return ImageReference{}, usererr.New(usererr.BadInput, "image %q: leave out what ends in ://; expected something like nginx:1.27 or host:5000/app@sha256:…", s)
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err == nil {
		named = reference.TagNameOnly(named)
		err = checkForCopier(named)
	}
	if err != nil {
		return ImageReference{}, usererr.New(usererr.BadInput, "image %q: %v; expected something like nginx:1.27 or host:5000/app@sha256:…", s, err)
	}
	return fromNamed(named), nil
}

// checkForCopier refuses what the copier would refuse later: it reads references with another library, which accepts fewer
// registry names.
func checkForCopier(named reference.Named) error {
	_, err := name.ParseReference(named.String())
	return err
}

func fromNamed(named reference.Named) ImageReference {
	ref := ImageReference{Name: named.String(), Registry: reference.Domain(named), Repository: reference.Path(named)}
	if t, ok := named.(reference.Tagged); ok {
		tag := t.Tag()
		ref.Tag = &tag
	}
	if d, ok := named.(reference.Digested); ok {
		sum := d.Digest().String()
		ref.Digest = &sum
	}
	return ref
}
