package mirror

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"pullwatch/internal/pull"
)

func TestWhatAManifestIsFollowsFromItsBytes(t *testing.T) {
	const blob = `{"mediaType":"application/octet-stream","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}`
	image := func(more string) string {
		return `{"schemaVersion":2,` + more + `"config":` + blob + `,"layers":[` + blob + `]}`
	}
	index := func(more string) string { return `{"schemaVersion":2,` + more + `"manifests":[` + blob + `]}` }
	is := func(mediaType types.MediaType) string { return `"mediaType":"` + string(mediaType) + `",` }
	const (
		oci, ociIndex = types.OCIManifestSchema1, types.OCIImageIndex
		docker, list  = types.DockerManifestSchema2, types.DockerManifestList
		refused       = types.MediaType("")
	)
	for _, test := range []struct {
		name, raw, served string
		// want is the type that it is pushed with.
		want  types.MediaType
		words string
	}{
		{"says so, served as something else", image(is(oci)), string(docker), oci, ""},
		{"says so, served as an index", image(is(docker)), string(ociIndex), docker, ""},
		{"says so, served with a charset", image(is(oci)), string(oci) + "; charset=utf-8", oci, ""},
		{"says so, served as JSON", index(is(list)), "application/json", list, ""},
		{"says so, served as nothing", index(is(ociIndex)), "", ociIndex, ""},
		{"says nothing, served with a charset", image(""), string(oci) + "; charset=utf-8", oci, ""},
		{"says nothing, served in capitals", image(""), strings.ToUpper(string(docker)), docker, ""},
		{"says nothing, served as JSON", image(""), "application/json", oci, ""},
		{"says nothing, served as what it is not", index(""), string(docker), ociIndex, ""},
		{"says nothing, served as a list", index(""), string(list), list, ""},
		{"says something new", image(`"mediaType":"application/vnd.example.v1+json",`), string(oci), "application/vnd.example.v1+json", ""},
		{"image and index at once", `{"schemaVersion":2,"layers":[` + blob + `],"manifests":[` + blob + `]}`, string(oci), refused, "an image and an index at once"},
		{"index with a config", `{"schemaVersion":2,"config":` + blob + `,"manifests":[` + blob + `]}`, string(ociIndex), refused, "an image and an index at once"},
		{"image that calls itself an index", image(is(ociIndex)), string(ociIndex), refused, "says of itself that it is what it is not"},
		{"index that calls itself an image", index(is(docker)), string(docker), refused, "says of itself that it is what it is not"},
		{"schema 1 as JSON", `{"schemaVersion":1,"fsLayers":[],"history":[]}`, "application/json", refused, "schema 1"},
		{"schema 1 as an image", `{"schemaVersion":1,"fsLayers":[],"history":[]}`, string(docker), refused, "schema 1"},
		{"schema 1 by its layers", `{"fsLayers":[{"blobSum":"x"}]}`, string(oci), refused, "schema 1"},
		{"schema 1 by its label", `{}`, string(types.DockerManifestSchema1Signed), refused, "schema 1"},
		{"something else", `{"schemaVersion":2}`, "application/json", refused, "neither an image nor an index"},
		{"empty index", `{"schemaVersion":2,"manifests":[]}`, string(ociIndex), refused, "no image for any platform"},
		{"empty index by its label", `{"schemaVersion":2}`, string(ociIndex), refused, "no image for any platform"},
		{"a page", `<html>`, string(oci), refused, "not JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := parseManifest(v1.Hash{Algorithm: "sha256", Hex: "aa"}, test.served, []byte(test.raw))
			if test.want == refused {
				if err == nil || !strings.Contains(err.Error(), test.words) {
					t.Errorf("error %v, want one with %q", err, test.words)
				}
				return
			}
			if err != nil || m.mediaType != test.want {
				t.Fatalf("got %+v, %v; want the type %s", m, err, test.want)
			}
			if len(m.leaves)+len(m.children) == 0 {
				t.Error("it holds nothing")
			}
		})
	}
}

// Registries and proxies label manifests as they like.
func TestAManifestIsCopiedWhateverItIsServedAs(t *testing.T) {
	for _, label := range []string{"application/json", "text/plain; charset=utf-8", string(types.OCIImageIndex), string(types.DockerManifestSchema2) + ";charset=utf-8"} {
		t.Run(label, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				image := randomImage(t, 3000, 2)
				digest := l.push("source.test/app:1", image)
				want, err := image.MediaType()
				if err != nil {
					t.Fatal(err)
				}
				l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if !method("GET", "/manifests/")(r) {
						return false
					}
					whole := httptest.NewRecorder()
					l.source.handler.ServeHTTP(whole, r)
					w.Header().Set("Content-Type", label)
					_, _ = w.Write(whole.Body.Bytes())
					return true
				}
				var pushedAs string
				l.destination.fault = func(_ http.ResponseWriter, r *http.Request) bool {
					if method("PUT", "/manifests/")(r) {
						pushedAs = r.Header.Get("Content-Type")
					}
					return false
				}
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
				if pushedAs != string(want) {
					t.Errorf("pushed as %q, want %q", pushedAs, want)
				}
			})
		})
	}
}

// A registry may give another manifest than the one that was asked for by its digest.
func TestAnotherManifestThanTheDigestNamesIsRefused(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", randomImage(t, 100, 1))
		other := l.push("source.test/app:2", randomImage(t, 200, 1))
		l.source.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			r.URL.Path = strings.Replace(r.URL.Path, "/manifests/"+other.String(), "/manifests/1", 1)
			return false
		}
		r := l.copy(t.Context(), "source.test/app@"+other.String(), "destination.test/app:1")
		r.failed(t, pull.ExitPermanent, pull.Invalid, "source registry", "another manifest", other.String())
	})
}
