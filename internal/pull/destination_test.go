package pull

import (
	"strings"
	"testing"

	"pullwatch/internal/usererr"
)

func TestAnImageIsCopiedWhereItsDestinationSays(t *testing.T) {
	for _, c := range []struct{ destination, image, want string }{
		{"harbor.example", "nginx:1.27", "harbor.example/library/nginx:1.27"},
		{"harbor.example/mirror/", "nginx:1.27", "harbor.example/mirror/library/nginx:1.27"},
		{"localhost:5000/a/b", "ghcr.io/c/d@" + someDigest, "localhost:5000/a/b/c/d@" + someDigest},
		{"localhost", "quay.io/c/d:1@" + someDigest, "localhost/c/d:1@" + someDigest},
		{"harbor.example/{registry}", "nginx:1.27", "harbor.example/docker.io/library/nginx:1.27"},
		{"harbor.example/{registry}/", "index.docker.io/nginx", "harbor.example/docker.io/library/nginx:latest"},
		{"harbor.example/m/{registry}/{repository}", "quay.io/c/d@" + someDigest, "harbor.example/m/quay.io/c/d@" + someDigest},
		{"harbor.example/{repository}/from-{registry}", "quay.io/c/d:1", "harbor.example/c/d/from-quay.io:1"},
		{"harbor.example/mirror-{repository}", "quay.io/c/d:1", "harbor.example/mirror-c/d:1"},
		{"harbor.example/{repository}/{repository}", "quay.io/c:1", "harbor.example/c/c:1"},
		{"harbor.example:8443/{registry}", "host:5000/app:1", "harbor.example:8443/host_5000/app:1"},
		{"harbor.example/{registry}", "host-5000/app:1", "harbor.example/docker.io/host-5000/app:1"},
		{"harbor.example/{registry}", "[fd00::5]/app:1", "harbor.example/fd00_0_0_0_0_0_0_5/app:1"},
		{"harbor.example/{registry}", "[::1]:5000/app:1", "harbor.example/0_0_0_0_0_0_0_1_5000/app:1"},
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
	for _, c := range []struct{ destination, image, why string }{
		{"harbor.example/{registry}", "Quay.io/a:1", "no capital letters: write the image's registry as quay.io"},
		{"harbor.example/{registry}", strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example/" + strings.Repeat("c", 200), "255"},
		{"harbor.example/" + strings.Repeat("d", 100), "quay.io/" + strings.Repeat("c", 200), "255"},
	} {
		image, err := ParseImage(c.image)
		if err != nil {
			t.Fatal(err)
		}
		got, err := image.At(c.destination)
		if usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%.30q at %.30q = %q, %v; want BAD_INPUT with %q", c.image, c.destination, got.Name, err, c.why)
		}
	}
	for in, why := range map[string]string{
		"harbor.example/{foo}":                       "no placeholder {foo}",
		"harbor.example/{}":                          "no placeholder {}",
		"harbor.example/{Registry}":                  "no placeholder {Registry}",
		"harbor.example/{registry":                   "a brace without",
		"harbor.example/registry}":                   "a brace without",
		"harbor.example/{{registry}}":                "a brace without",
		"harbor.example/{registry/}":                 "a brace without",
		"harbor.example/}{":                          "a brace without",
		"{registry}/mirror":                          "the registry that is copied to",
		"{registry}":                                 "the registry that is copied to",
		"harbor.example:{registry}/a":                "the registry that is copied to",
		"harbor.example/{registry}-{repository}":     "has to be a slash",
		"harbor.example/{registry}{repository}":      "has to be a slash",
		"harbor.example/UPPER/{registry}":            "lowercase",
		"harbor.example/-{registry}":                 "invalid reference format",
		"harbor.example/{registry}/{repository}:tag": "leave out the tag",
		"harbor.example/" + strings.Repeat("a", 253) + "/{registry}/{repository}": "255",
	} {
		if got, err := ParseDestination(in); usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), why) {
			t.Errorf("ParseDestination(%q) = %q, %v; want BAD_INPUT with %q", in, got, err, why)
		}
	}
	for _, in := range []string{"", "/", "mirror", "mirror/x", "https://harbor.example", "harbor.example/UPPER", "harbor.example/a:tag", "harbor.example//a", strings.Repeat("a.", 400)} {
		if got, err := ParseDestination(in); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("ParseDestination(%q) = %q, %v; want BAD_INPUT", in, got, err)
		}
	}
}

// Some platforms of an image have another digest than the image, so no digest can be promised at the destination.
func TestAPullOfSomePlatformsIsFoundUnderItsTag(t *testing.T) {
	for given, want := range map[string]string{
		"quay.io/a:1":                 "harbor.example/a:1",
		"quay.io/a":                   "harbor.example/a:latest",
		"quay.io/a:1@" + someDigest:   "harbor.example/a:1",
		"quay.io:443/a@" + someDigest: "",
	} {
		image, err := ParseImage(given)
		if err != nil {
			t.Fatal(err)
		}
		got, err := image.PlatformsAt("harbor.example")
		if got.Name != want || got.Digest != nil || (want == "" && (usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), "quay.io:443/a:TAG@"+someDigest))) {
			t.Errorf("%s: %+v, %v; want %q", given, got, err, want)
		}
	}
}

// Sources stay apart even if they differ only by a port, or by where a part of the name ends.
func TestSourcesDoNotMeetWhereTheRegistryIsPartOfTheName(t *testing.T) {
	images := []string{
		"nginx", "quay.io/library/nginx", "quay.io:5000/library/nginx", "quay.io-5000.example/library/nginx", "quay.io/5000/library/nginx",
		"[::1]:5000/library/nginx", "[::1:5000]/library/nginx", "[0:0:0:0:0:0:1:5000]:5000/library/nginx", "a.io/x-y/z", "a.io-x/y/z", "a.io/x/y/z", "a.io-x.y/z", "a.io/y/z/a.io",
	}
	for _, destination := range []string{
		"harbor.example/{registry}", "harbor.example/{registry}/{repository}", "harbor.example/{repository}/{registry}",
		"harbor.example/x-{registry}/a/{repository}-y", "docker.io/{registry}", "harbor.example/{repository}/{registry}/{repository}",
	} {
		from := map[string]string{}
		for _, given := range images {
			image, err := ParseImage(given)
			if err != nil {
				t.Fatal(err)
			}
			copied, err := image.At(destination)
			if err != nil {
				t.Fatal(err)
			}
			if other, taken := from[copied.Name]; taken {
				t.Errorf("%s and %s are both copied to %s", other, given, copied.Name)
			}
			from[copied.Name] = given
		}
	}
}

// FuzzParseDestination checks that an image is found where it was copied to, by the name that the Job keeps and the copier reads.
func FuzzParseDestination(f *testing.F) {
	for _, c := range []struct{ destination, image string }{
		{"harbor.example", "nginx:1.27"}, {"harbor.example/mirror/", "host:5000/app@" + someDigest}, {"localhost:5000/a/b", "ghcr.io/a"},
		{"docker.io", "ghcr.io/app"}, {"index.docker.io/", "ghcr.io/app:1"}, {"HARBOR.example", "a"},
		{"harbor.example/{registry}", "host:5000/a"}, {"a.b/{repository}/x-{registry}/", "[::1]:5000/a/b:1"}, {"a.b/{registry", "a"},
		{"[::1]:5000", "a"}, {"a_b.c", "a"},
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
			if usererr.CodeOf(err) != usererr.BadInput ||
				(strings.ToLower(image.Registry) == image.Registry && !strings.HasPrefix(image.Registry, "[") &&
					len(destination)+strings.Count(destination, "{")*len(image.Name)+len(image.Repository) < 200) {
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
