package mirror

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"pullwatch/internal/pull"
)

// With the same status, one refusal passes and another stays: what was asked for decides.
func TestRefusalsThatPassAreWaitedFor(t *testing.T) {
	said := func(code, message string) string {
		return `{"errors":[{"code":"` + code + `","message":"` + message + `"}]}`
	}
	for _, test := range []struct {
		name  string
		fault func(*lab)
	}{
		{"read-only while garbage is collected", func(l *lab) {
			l.destination.fault = times(2, method("POST", ""),
				answer(403, said("DENIED", "The system is in read only mode. Any modification is prohibited.")))
		}},
		{"read-only when manifests are written", func(l *lab) {
			l.destination.fault = times(2, method("PUT", "/manifests/"), answer(403, said("DENIED", "registry is read-only")))
		}},
		{"no writing methods", func(l *lab) { l.destination.fault = times(2, method("POST", ""), answer(405, "")) }},
		{"blob comes later than its manifest", func(l *lab) {
			l.source.fault = times(2, isBlobGet, answer(404, said("BLOB_UNKNOWN", "blob unknown")))
		}},
		{"manifest comes later than its index", func(l *lab) {
			l.source.fault = times(2, method("GET", "/manifests/sha256:"), answer(404, said("MANIFEST_UNKNOWN", "unknown")))
		}},
		{"login lapses at a blob", func(l *lab) { l.source.fault = times(2, isBlobGet, answer(401, "")) }},
		{"login lapses at an upload", func(l *lab) {
			l.destination.fault = times(2, func(r *http.Request) bool { return r.Method == http.MethodPatch && r.ContentLength > 500 }, answer(401, ""))
		}},
		{"failure in words of a refusal", func(l *lab) {
			l.source.fault = times(2, isBlobGet, answer(500, said("DENIED", "the login cannot be checked")))
		}},
		{"failure in words of a missing image", func(l *lab) {
			l.source.fault = times(2, method("GET", "/manifests/1"), answer(502, said("MANIFEST_UNKNOWN", "upstream")))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: randomImage(t, 3000, 2)}))
				test.fault(l)
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
			})
		})
	}
}

func TestRefusalsThatStayEndTheCopyInTime(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  func(*lab)
		code   int
		reason pull.FailureReason
		words  []string
		// within bounds how long it may take to say so.
		within time.Duration
	}{
		{"read-only for long", func(l *lab) {
			l.destination.fault = times(forEver, method("POST", ""), answer(403, `{"errors":[{"code":"DENIED","message":"The system is in read only mode."}]}`))
		}, pull.ExitTransient, pull.Unknown, []string{"destination registry", "read-only"}, time.Minute},
		{"a name that sounds like it", func(l *lab) {
			l.destination.fault = times(forEver, method("POST", ""), answer(403, `{"errors":[{"code":"DENIED","message":"no push to app"}]}`))
		}, pull.ExitPermanent, pull.Unauthorized, []string{"destination registry"}, time.Second},
		{"login refused at once", func(l *lab) { l.destination.fault = times(forEver, method("POST", ""), answer(401, "")) },
			pull.ExitPermanent, pull.Unauthorized, []string{"destination registry"}, time.Second},
		{"login refused from the middle on", func(l *lab) { l.source.fault = times(forEver, isBlobGet, answer(401, "")) },
			pull.ExitTransient, pull.Unauthorized, []string{"source registry", "that it took before"}, time.Minute},
		{"wait of an hour", func(l *lab) {
			l.source.fault = times(forEver, method("GET", "/manifests/"), func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusTooManyRequests)
			})
		}, pull.ExitTransient, pull.RateLimited, []string{"asks to wait 1h0m0s"}, time.Second},
		{"wait of an hour for a blob", func(l *lab) {
			l.source.fault = times(forEver, isBlobGet, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusServiceUnavailable)
			})
		}, pull.ExitTransient, pull.Network, []string{"asks to wait 1h0m0s"}, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				l.push("source.test/app:1", randomImage(t, 3000, 2))
				test.fault(l)
				began := time.Now()
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").failed(t, test.code, test.reason, test.words...)
				if took := time.Since(began); took > test.within {
					t.Errorf("took %s, want at most %s", took, test.within)
				}
			})
		})
	}
}

// An image has many parts. The message has to say which one is missing.
func TestMissingPartsAreNamed(t *testing.T) {
	for _, what := range []string{"blob", "manifest"} {
		t.Run(what, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				image := randomImage(t, 3000, 2)
				l.push("source.test/app:1", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image}))
				layers, err := image.Layers()
				if err != nil {
					t.Fatal(err)
				}
				missing, err := layers[1].Digest()
				if what == "manifest" {
					missing, err = image.Digest()
				}
				if err != nil {
					t.Fatal(err)
				}
				l.source.fault = times(forEver, func(r *http.Request) bool { return strings.Contains(r.URL.Path, missing.String()) }, answer(404, ""))
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.failed(t, pull.ExitPermanent, pull.NotFound, "The source registry source.test does not have the "+what+" "+missing.String())
			})
		})
	}
}

func TestRetryAfterBeyondTheDeadlineEndsAtOnce(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", randomImage(t, 100, 1))
		l.source.fault = times(forEver, method("GET", "/manifests/"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		began := time.Now()
		l.copy(ctx, "source.test/app:1", "destination.test/app:1").failed(t, pull.ExitTransient, pull.RateLimited)
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
}
