package pull

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"pullwatch/internal/usererr"
)

// Placeholders of a destination. They are filled in from the image that is copied.
const (
	registryPlaceholder   = "{registry}"
	repositoryPlaceholder = "{repository}"
)

// ParseDestination parses where images are copied to: a registry and, after a slash, an optional path, such as
// harbor.example/mirror or harbor.example/mirror/{registry}/{repository}. The result has no trailing slash. An error is
// a usererr.BadInput.
func ParseDestination(s string) (string, error) {
	bad := func(why string) (string, error) {
		return "", usererr.New(usererr.BadInput, "destination %q: %s; expected a registry and an optional path, such as harbor.example/mirror or harbor.example/{registry}/{repository}", s, why)
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
	if err := checkPlaceholders(trimmed); err != nil {
		return bad(err.Error())
	}
	// Docker takes a first part without a dot or a port for a repository of docker.io. That cannot be meant here.
	if host, _, _ := strings.Cut(trimmed, "/"); host != "localhost" && !strings.ContainsAny(host, ".:") {
		return bad("its first part is not a registry's host name")
	}
	// What is wrong with the shortest image is wrong with all.
	if _, err := parseRepository(fillPlaceholders(trimmed, "x", "x")); err != nil {
		return bad(err.Error())
	}
	return trimmed, nil
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// checkPlaceholders checks a destination's braces and placeholders. It refuses placeholders where two images of different names
// could be copied to the same one. An error is a part of a sentence.
func checkPlaceholders(destination string) error {
	for i, part := range strings.Split(destination, "/") {
		found := placeholder.FindAllString(part, -1)
		for _, p := range found {
			if p != registryPlaceholder && p != repositoryPlaceholder {
				return fmt.Errorf("there is no placeholder %s, only %s and %s", p, registryPlaceholder, repositoryPlaceholder)
			}
		}
		switch {
		case strings.ContainsAny(placeholder.ReplaceAllString(part, ""), "{}"):
			return errors.New("it has a brace without the one that belongs to it")
		case i == 0 && len(found) > 0:
			return errors.New("the name of the registry that is copied to cannot have a placeholder")
		case len(found) > 1:
			return errors.New("between two placeholders there has to be a slash, so that different images do not meet")
		}
	}
	return nil
}

// fillPlaceholders fills in a destination's placeholders. Without {repository} it appends the repository.
func fillPlaceholders(destination, registry, repository string) string {
	if !strings.Contains(destination, repositoryPlaceholder) {
		destination += "/" + repositoryPlaceholder
	}
	return strings.NewReplacer(registryPlaceholder, registry, repositoryPlaceholder, repository).Replace(destination)
}

// parseRepository parses the name of a repository. An error is a part of a sentence that says what is wrong.
func parseRepository(name string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err == nil && !reference.IsNameOnly(named) {
		err = errors.New("leave out the tag or digest: an image keeps its own")
	}
	if err == nil {
		err = checkForCopier(named)
	}
	return named, err
}

// At returns the image's name at destination, as ParseDestination returned it. Placeholders are filled in from the image.
// Without {repository} the image's repository path is appended. Tag and digest stay the same. At docker.io, "library" precedes
// a path of one part. The source's registry is not part of the name unless {registry} says so. An error is a usererr.BadInput.
func (r ImageReference) At(destination string) (ImageReference, error) {
	bad := func(err error) (ImageReference, error) {
		return ImageReference{}, usererr.New(usererr.BadInput, "image %q at destination %q: %v", r.Name, destination, err)
	}
	registry := ""
	if strings.Contains(destination, registryPlaceholder) {
		var err error
		if registry, err = registryAsPath(r.Registry); err != nil {
			return bad(err)
		}
	}
	named, err := parseRepository(fillPlaceholders(destination, registry, r.Repository))
	if err != nil {
		return bad(err)
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

// PlatformsAt is At when only some of the image's platforms are copied. At the destination these have an index of their own,
// with another digest than the image's, so only the tag stays the same. An error is a usererr.BadInput, also when there is no tag.
func (r ImageReference) PlatformsAt(destination string) (ImageReference, error) {
	if r.Tag == nil {
		return ImageReference{}, usererr.New(usererr.BadInput, "image %q: with platforms it has another digest at the destination, so give it a tag as well, such as %s:TAG@%s",
			r.Name, strings.TrimSuffix(r.Name, "@"+*r.Digest), *r.Digest)
	}
	r.Digest = nil
	return r.At(destination)
}

// registryAsPath returns a registry's host, and its port if it has one, as a part of a repository's path. There may be neither
// colons nor brackets in it. Colons become underscores, which no host has. An IPv6 address is written out. So two registries
// never become the same: host:5000 is host_5000, and [::1]:5000 is 0_0_0_0_0_0_0_1_5000.
func registryAsPath(registry string) (string, error) {
	if lower := strings.ToLower(registry); lower != registry {
		return "", fmt.Errorf("a repository's name has no capital letters: write the image's registry as %s", lower)
	}
	host, port, isAddress := strings.Cut(strings.TrimPrefix(registry, "["), "]")
	if !isAddress {
		return strings.ReplaceAll(registry, ":", "_"), nil
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return "", fmt.Errorf("the registry %s is not an IPv6 address", registry)
	}
	bytes := address.As16()
	var groups []string
	for i := 0; i < len(bytes); i += 2 {
		groups = append(groups, fmt.Sprintf("%x", uint16(bytes[i])<<8|uint16(bytes[i+1])))
	}
	return strings.Join(groups, "_") + strings.ReplaceAll(port, ":", "_"), nil
}
