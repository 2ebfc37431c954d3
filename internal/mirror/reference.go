package mirror

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"pullwatch/internal/pull"
)

// parseReference parses a reference, in which a digest outweighs a tag.
func parseReference(s string) (name.Reference, error) {
	ref, err := name.ParseReference(s)
	if err != nil {
		message := sentence(err.Error())
		if lower := lowerRepository(s); lower != s {
			if _, err := name.ParseReference(lower); err == nil {
				message = fmt.Sprintf("%s: the name of a repository has no capital letters; %s would be one", sentence(s), lower)
			}
		}
		return nil, &failure{reason: pull.Invalid, permanent: true, message: message}
	}
	return ref, nil
}

// lowerRepository returns a reference with its repository in lower case. Tags may have capital letters.
func lowerRepository(s string) string {
	repository, digest, _ := strings.Cut(s, "@")
	end := len(repository)
	if colon := strings.LastIndexByte(repository, ':'); colon > strings.LastIndexByte(repository, '/') {
		end = colon
	}
	lower := strings.ToLower(repository[:end]) + repository[end:]
	if digest != "" {
		lower += "@" + digest
	}
	return lower
}

// target is where an image is copied to: under a tag, or only by its digest.
type target struct {
	repository name.Repository
	// tag is empty when only a digest was given.
	tag string
	// digest is empty unless the copy must have it.
	digest string
}

func parseTarget(s string) (target, error) {
	ref, err := parseReference(s)
	if err != nil {
		return target{}, err
	}
	t := target{repository: ref.Context()}
	switch ref := ref.(type) {
	case name.Tag:
		t.tag = ref.TagStr()
	case name.Digest:
		t.digest = ref.DigestStr()
		tagged, _, _ := strings.Cut(s, "@")
		// A colon before the last slash belongs to the registry's port.
		if _, tag, ok := strings.Cut(tagged[strings.LastIndex(tagged, "/")+1:], ":"); ok {
			t.tag = tag
		}
	}
	return t, nil
}

// accepts returns an error when the destination asks for another digest than the source has.
func (t target) accepts(root *manifest) error {
	if t.digest == "" {
		return nil
	}
	want, err := v1.NewHash(t.digest)
	if err == nil && root.is(want) {
		return nil
	}
	return &failure{reason: pull.Invalid, permanent: true,
		message: fmt.Sprintf("The destination asks for %s, but what is copied is %s", t.digest, root.digest)}
}

// reference is what the root manifest is put under.
func (t target) reference(root *manifest) name.Reference {
	if t.tag == "" {
		return t.repository.Digest(root.digest.String())
	}
	return t.repository.Tag(t.tag)
}
