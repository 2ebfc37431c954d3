package pull

import (
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"pullwatch/usererr"
)

// ImageReference names an image in a registry, with every default filled in. It is made by ParseImage and ParseDestination.
type ImageReference struct {
	Name       string
	Registry   string
	Repository string
	// At least one of Tag and Digest is set.
	Tag    *string
	Digest *string
}

// maxReference bounds what is parsed; the longest valid name with a tag and a sha512 digest is shorter.
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

// checkForCopier refuses now what the copier would refuse later: it reads references with another library, which knows
// fewer registry names.
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

// ParseDestination parses where images are copied to: a registry and, after a slash, an optional path, such as
// harbor.example/mirror. The result has no trailing slash. An error is a usererr.BadInput.
func ParseDestination(s string) (string, error) {
	bad := func(why string) (string, error) {
		return "", usererr.New(usererr.BadInput, "destination %q: %s; expected a registry and an optional path, such as harbor.example/mirror", s, why)
	}
	trimmed := strings.TrimSuffix(s, "/")
	switch {
	case trimmed == "":
		return bad("it is empty")
	case len(trimmed) > maxReference:
		return bad("it is too long")
	case strings.Contains(trimmed, "://"):
		return bad("leave out what ends in ://")
	}
	// Docker reads a first part without a dot or a port as a repository of docker.io, which cannot be meant here.
	if host, _, _ := strings.Cut(trimmed, "/"); host != "localhost" && !strings.ContainsAny(host, ".:") {
		return bad("its first part is not a registry's host name")
	}
	named, err := reference.ParseNormalizedNamed(trimmed + "/x")
	if err == nil {
		err = checkForCopier(named)
	}
	if err != nil {
		return bad(err.Error())
	}
	return trimmed, nil
}

// At returns where the image stands when it is copied to destination, as ParseDestination returned it: the same
// repository path, tag and digest below the destination, and "library" before a path that has to have two parts, at
// docker.io. The source's registry is not part of it.
func (r ImageReference) At(destination string) (ImageReference, error) {
	named, err := reference.ParseNormalizedNamed(destination + "/" + r.Repository)
	if err == nil {
		err = checkForCopier(named)
	}
	if err != nil {
		return ImageReference{}, usererr.New(usererr.BadInput, "image %q at destination %q: %v", r.Name, destination, err)
	}
	if r.Tag != nil {
		if named, err = reference.WithTag(named, *r.Tag); err != nil {
			return ImageReference{}, usererr.New(usererr.BadInput, "image %q: %v", r.Name, err)
		}
	}
	if r.Digest != nil {
		if named, err = reference.WithDigest(named, digest.Digest(*r.Digest)); err != nil {
			return ImageReference{}, usererr.New(usererr.BadInput, "image %q: %v", r.Name, err)
		}
	}
	return fromNamed(named), nil
}
