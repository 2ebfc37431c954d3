package pull

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"pullwatch/internal/usererr"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestReferencesAreReadAsDockerReadsThem(t *testing.T) {
	for _, c := range []struct{ in, name, registry, repository, tag, digest string }{
		{"nginx", "docker.io/library/nginx:latest", "docker.io", "library/nginx", "latest", ""},
		{"nginx:1.27", "docker.io/library/nginx:1.27", "docker.io", "library/nginx", "1.27", ""},
		{"bitnami/redis", "docker.io/bitnami/redis:latest", "docker.io", "bitnami/redis", "latest", ""},
		{"index.docker.io/library/nginx", "docker.io/library/nginx:latest", "docker.io", "library/nginx", "latest", ""},
		{"host:5000/app", "host:5000/app:latest", "host:5000", "app", "latest", ""},
		{"localhost/app", "localhost/app:latest", "localhost", "app", "latest", ""},
		{"ghcr.io/a/b@" + someDigest, "ghcr.io/a/b@" + someDigest, "ghcr.io", "a/b", "", someDigest},
		{"ghcr.io/a/b:1@" + someDigest, "ghcr.io/a/b:1@" + someDigest, "ghcr.io", "a/b", "1", someDigest},
	} {
		got, err := ParseImage(c.in)
		if err != nil {
			t.Errorf("ParseImage(%q): %v", c.in, err)
			continue
		}
		if got.Name != c.name || got.Registry != c.registry || got.Repository != c.repository || text(got.Tag) != c.tag || text(got.Digest) != c.digest {
			t.Errorf("ParseImage(%q) = %+v (tag %q, digest %q)", c.in, got, text(got.Tag), text(got.Digest))
		}
	}
	for _, in := range []string{"", " ", "Nginx", "nginx:", "nginx@sha256:abc", "a b", "host:port/app", "http://host/app", "-x", "nginx\n", "HOST/app", strings.Repeat("a", 5000)} {
		if _, err := ParseImage(in); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("ParseImage(%q): %v, want BAD_INPUT", in, err)
		}
	}
}

// The copier reads references with another library. What is accepted here must mean the same there.
func FuzzParseImage(f *testing.F) {
	for _, s := range []string{"nginx", "host:5000/app:1@" + someDigest, "localhost/a", "a.b/c", "[::1]:5000/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseImage(s)
		if err != nil {
			if usererr.CodeOf(err) != usererr.BadInput {
				t.Fatalf("%q: %v is not BAD_INPUT", s, err)
			}
			return
		}
		again, err := ParseImage(ref.Name)
		if err != nil || again.Name != ref.Name {
			t.Fatalf("%q → %q → %q, %v", s, ref.Name, again.Name, err)
		}
		parsed, err := name.ParseReference(ref.Name)
		if err != nil {
			t.Fatalf("%q → %q, which the copier refuses: %v", s, ref.Name, err)
		}
		if got := parsed.Context().RepositoryStr(); got != ref.Repository {
			t.Fatalf("%q: repository %q here, %q in the copier", s, ref.Repository, got)
		}
	})
}
