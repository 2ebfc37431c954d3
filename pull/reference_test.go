package pull

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"pullwatch/usererr"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestParseImage(t *testing.T) {
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

func TestDestination(t *testing.T) {
	for _, c := range []struct{ destination, image, want string }{
		{"harbor.example", "nginx:1.27", "harbor.example/library/nginx:1.27"},
		{"harbor.example/mirror/", "nginx:1.27", "harbor.example/mirror/library/nginx:1.27"},
		{"localhost:5000/a/b", "ghcr.io/c/d@" + someDigest, "localhost:5000/a/b/c/d@" + someDigest},
		{"localhost", "quay.io/c/d:1@" + someDigest, "localhost/c/d:1@" + someDigest},
	} {
		destination, err := ParseDestination(c.destination)
		if err != nil {
			t.Errorf("ParseDestination(%q): %v", c.destination, err)
			continue
		}
		image, err := ParseImage(c.image)
		if err != nil {
			t.Fatal(err)
		}
		got, err := image.At(destination)
		if err != nil || got.Name != c.want {
			t.Errorf("%q at %q = %q, %v; want %q", c.image, c.destination, got.Name, err, c.want)
		}
	}
	for _, in := range []string{"", "/", "mirror", "mirror/x", "https://harbor.example", "harbor.example/UPPER", "harbor.example/a:tag", "harbor.example//a", strings.Repeat("a.", 400)} {
		if got, err := ParseDestination(in); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("ParseDestination(%q) = %q, %v; want BAD_INPUT", in, got, err)
		}
	}
}

// The copier reads references with another library than the one that checks them here: what is accepted here must mean
// the same there.
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

// FuzzParseDestination checks that an image is found again where it was copied to: by its name, as the Job keeps it and
// as the copier reads it.
func FuzzParseDestination(f *testing.F) {
	for _, c := range []struct{ destination, image string }{
		{"harbor.example", "nginx:1.27"}, {"harbor.example/mirror/", "host:5000/app@" + someDigest}, {"localhost:5000/a/b", "ghcr.io/a"},
		{"docker.io", "ghcr.io/app"}, {"index.docker.io/", "ghcr.io/app:1"}, {"HARBOR.example", "a"}, {"[::1]:5000", "a"}, {"a_b.c", "a"},
	} {
		f.Add(c.destination, c.image)
	}
	f.Fuzz(func(t *testing.T, given, source string) {
		destination, err := ParseDestination(given)
		if err != nil {
			if usererr.CodeOf(err) != usererr.BadInput {
				t.Fatalf("%v is not BAD_INPUT", err)
			}
			return
		}
		if again, err := ParseDestination(destination); again != destination || err != nil {
			t.Fatalf("%q → %q, %v", destination, again, err)
		}
		image, err := ParseImage(source)
		if err != nil {
			return
		}
		copied, err := image.At(destination)
		if err != nil {
			if usererr.CodeOf(err) != usererr.BadInput || len(destination)+len(image.Repository) < 200 {
				t.Fatalf("a destination that was accepted: %v", err)
			}
			return
		}
		again, err := ParseImage(copied.Name)
		if err != nil || again.Name != copied.Name || again.Repository != copied.Repository {
			t.Fatalf("%q at %q is %q, which is read as %q, %v", source, destination, copied.Name, again.Name, err)
		}
		if text(copied.Tag) != text(image.Tag) || text(copied.Digest) != text(image.Digest) {
			t.Fatalf("%q becomes %q", image.Name, copied.Name)
		}
	})
}
