package mirror

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"pullwatch/internal/pull"
)

func TestTransientFaultsAreRetried(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault func(*lab)
	}{
		{"a layer that breaks off", func(l *lab) { l.source.fault = times(2, isBlobGet, breakOff(l.source)) }},
		{"manifest 503", func(l *lab) { l.source.fault = times(2, method("GET", "/manifests/"), answer(503, "busy")) }},
		{"blob 500", func(l *lab) { l.source.fault = times(3, isBlobGet, answer(500, "oops")) }},
		{"ping 502", func(l *lab) { l.source.fault = times(2, method("GET", "/v2/"), answer(502, "")) }},
		{"upload 500", func(l *lab) { l.destination.fault = times(2, method("PATCH", ""), answer(500, "")) }},
		{"upload 499", func(l *lab) { l.destination.fault = times(2, method("PATCH", ""), answer(499, "")) }},
		{"an upload that is gone without a word", func(l *lab) {
			l.destination.fault = times(1, method("PATCH", ""), answer(404, ""))
		}},
		{"an upload's end that is gone without a word", func(l *lab) {
			l.destination.fault = times(1, method("PUT", "/uploads/"), answer(404, ""))
		}},
		{"an upload that was forgotten", func(l *lab) {
			l.destination.fault = times(1, method("PUT", "/uploads/"),
				answer(404, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"upload unknown"}]}`))
		}},
		{"manifest put 504", func(l *lab) { l.destination.fault = times(1, method("PUT", "/manifests/"), answer(504, "")) }},
		{"verification 500", func(l *lab) {
			l.destination.fault = times(2, func(r *http.Request) bool {
				return r.Method != http.MethodPut && l.destination.count("PUT", "/manifests/") > 0
			}, answer(500, ""))
		}},
		{"connection closed", func(l *lab) {
			l.destination.fault = times(2, method("POST", ""),
				func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				image := randomImage(t, 300_000, 1)
				digest := l.push("source.test/app:1", image)
				test.fault(l)
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.succeeded(t, digest)
				if want := bytesOf(t, image); r.outcome.BytesTotal != want || r.outcome.BytesCopied != want {
					t.Errorf("outcome %+v, want %d bytes", r.outcome, want)
				}
				if !r.said("Retrying ") {
					t.Error("no report tells of the retry")
				}
			})
		})
	}
}

func TestAFaultThatLastsIsNamed(t *testing.T) {
	said := func(code, message string) string {
		return fmt.Sprintf(`{"errors":[{"code":%q,"message":%q}]}`, code, message)
	}
	for _, test := range []struct {
		name   string
		fault  func(*lab)
		code   int
		reason pull.FailureReason
		words  []string
	}{
		{"no such image", func(l *lab) {
			l.source.fault = times(1, method("GET", "/manifests/"), answer(404, said("MANIFEST_UNKNOWN", "manifest unknown")))
		}, pull.ExitPermanent, pull.NotFound,
			[]string{"The source registry source.test does not have source.test/app:1", "manifest unknown"}},
		{"login needed", func(l *lab) {
			l.source.fault = times(1, method("GET", "/manifests/"), answer(401, said("UNAUTHORIZED", "authentication required")))
		}, pull.ExitPermanent, pull.Unauthorized,
			[]string{"source.test/app:1 without credentials, or does not have it", "authentication required"}},
		{"may not push", func(l *lab) {
			l.destination.fault = times(1, method("POST", ""), answer(403, said("DENIED", "no push")))
		}, pull.ExitPermanent, pull.Unauthorized,
			[]string{"The destination registry destination.test does not accept destination.test/app", "no push"}},
		{"rate limit", func(l *lab) {
			l.source.fault = times(forEver, method("GET", "/manifests/"), answer(429, said("TOOMANYREQUESTS", "slow down")))
		}, pull.ExitTransient, pull.RateLimited, []string{"source registry", "slow down"}},
		{"quota", func(l *lab) {
			l.destination.fault = times(forEver, method("PUT", "/uploads/"),
				answer(403, said("DENIED", "adding 25.0 MiB of storage resource will exceed the configured upper limit of 1 GiB")))
		}, pull.ExitTransient, pull.DiskFull, []string{"destination registry", "25.0 MiB"}},
		{"unavailable", func(l *lab) {
			l.destination.fault = times(forEver, method("PATCH", ""), answer(503, "<html>\n<b>down</b>\n</html>"))
		}, pull.ExitTransient, pull.Network,
			[]string{"The destination registry destination.test is not available: 503 Service Unavailable: down (PATCH"}},
		{"refused with a long page", func(l *lab) {
			l.source.fault = times(forEver, method("GET", "/manifests/"), answer(403, "blocked"+strings.Repeat(" ", 100<<10)))
		}, pull.ExitPermanent, pull.Unauthorized, []string{"source registry", "403 Forbidden: blocked (GET manifest 1)"}},
		{"corrupt blobs", func(l *lab) { l.source.corrupt("app") }, pull.ExitPermanent, pull.Invalid,
			[]string{"The source registry source.test answered with something wrong", "checksum"}},
		{"missing layer", func(l *lab) {
			l.source.fault = times(forEver, isBlobGet, answer(404, said("BLOB_UNKNOWN", "blob unknown")))
		},
			pull.ExitPermanent, pull.NotFound, []string{"source registry", "blob unknown"}},
		{"manifest put to where nothing is stored", func(l *lab) {
			l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
				return times(forEver, method("PUT", "/manifests/"), func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, "/login", http.StatusFound)
				})(w, r) || times(forEver, method("GET", "/login"), answer(200, "please log in"))(w, r)
			}
		}, pull.ExitPermanent, pull.Invalid,
			[]string{"The destination registry destination.test", "it redirects a PUT so that it becomes a GET (manifest sha256:"}},
		{"not a manifest", func(l *lab) {
			l.source.fault = times(forEver, method("GET", "/manifests/"), answer(200, "<html>hello</html>"))
		}, pull.ExitPermanent, pull.Invalid, []string{"The source registry source.test answered with something wrong"}},
		{"schema 1", func(l *lab) {
			l.source.fault = times(1, method("GET", "/manifests/"), func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
				_, _ = io.WriteString(w, `{"schemaVersion":1}`)
			})
		}, pull.ExitPermanent, pull.Invalid, []string{"schema 1"}},
		{"endless manifest", func(l *lab) {
			l.source.fault = times(1, method("GET", "/manifests/"), func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(make([]byte, maxManifest+1))
			})
		}, pull.ExitPermanent, pull.Invalid, []string{"larger than 4.2 MB"}},
		{"another digest at the end", func(l *lab) {
			l.destination.fault = times(forEver, func(r *http.Request) bool {
				return r.Method != http.MethodPut && l.destination.count("PUT", "/manifests/1") > 0
			}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
				w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
				_, _ = io.WriteString(w, "{}")
			})
		}, pull.ExitPermanent, pull.Invalid, []string{"destination registry", "was copied"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				l.push("source.test/app:1", randomImage(t, 3000, 2))
				test.fault(l)
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.failed(t, test.code, test.reason, test.words...)
				r.neverFell(t)
				if l.destination.count("PUT", "/manifests/1") > 0 && test.name != "another digest at the end" && !strings.HasPrefix(test.name, "manifest put") {
					t.Error("a manifest was put for an image that is not complete")
				}
			})
		})
	}
}

// An index may say that its manifests are small.
func TestManifestsLargerThanTheirIndexSaysAreNotAllRead(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
		const children = 20
		var each []string
		for n := range children {
			raw := fmt.Sprintf(`{"schemaVersion":2,"config":{"size":2,"digest":"sha256:%064d"},"layers":[]}`, n)
			raw += strings.Repeat(" ", maxTree/4-len(raw))
			digest, _, err := v1.SHA256(strings.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			index.Manifests = append(index.Manifests, v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: 2, Digest: digest})
			each = append(each, raw)
		}
		l.source.fault = times(forEver, method("GET", "/manifests/"), func(w http.ResponseWriter, r *http.Request) {
			for n, child := range index.Manifests {
				if strings.HasSuffix(r.URL.Path, child.Digest.String()) {
					_, _ = io.WriteString(w, each[n])
					return
				}
			}
			_ = json.NewEncoder(w).Encode(index)
		})
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").
			failed(t, pull.ExitPermanent, pull.Invalid, "larger than 4.2 MB, or 17 MB together")
		if n := l.source.count("GET", "/manifests/sha256:"); n > children/2 {
			t.Errorf("%d manifests were read", n)
		}
	})
}

func TestEmptyIndexHasNoPlatform(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", empty.Index)
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitPermanent, pull.NoPlatform, "source.test/app:1")
	})
}

func TestARegistryThatCannotBeReachedIsNamed(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		r := l.copy(t.Context(), "nowhere.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitTransient, pull.Network, "The source registry nowhere.test cannot be reached", "no such host")
	})
}

func TestInvalidReferencesAreRefused(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.copy(t.Context(), "source.test/App", "destination.test/app").failed(t, pull.ExitPermanent, pull.Invalid, "App")
		l.copy(t.Context(), "source.test/app", "destination.test/a:b:c").failed(t, pull.ExitPermanent, pull.Invalid, "a:b:c")
	})
}
