package mirror

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"pullwatch/internal/pull"
)

// readsAfterPut matches the requests with the methods that ask for the tag once it has been written.
func readsAfterPut(l *lab, methods string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return strings.Contains(methods, r.Method) && strings.Contains(r.URL.Path, "/manifests/") &&
			l.destination.count("PUT", "/manifests/1") > 0
	}
}

func saysOfManifest(digest, length string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		if digest != "" {
			w.Header().Set("Docker-Content-Digest", digest)
		}
		if length != "" {
			w.Header().Set("Content-Length", length)
		}
	}
}

// The destination has accepted the copy. Its answers when the copy is read back make no failure of that.
func TestCopyIsDoneHoweverItCanBeReadBack(t *testing.T) {
	otherDigest := "sha256:" + strings.Repeat("0", 64)
	for _, test := range []struct {
		name  string
		fault func(*lab) func(http.ResponseWriter, *http.Request) bool
		// unconfirmed are words of why it could not be read back, empty when it could.
		unconfirmed string
	}{
		{"HEAD not allowed", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, method("HEAD", "/manifests/"), answer(405, ""))
		}, ""},
		{"HEAD without digest", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, method("HEAD", "/manifests/"), saysOfManifest("", "7"))
		}, ""},
		{"HEAD without length", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, readsAfterPut(l, "HEAD"), saysOfManifest(otherDigest, ""))
		}, ""},
		{"HEAD with another digest", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, readsAfterPut(l, "HEAD"), saysOfManifest(otherDigest, "2"))
		}, ""},
		{"HEAD fails", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, method("HEAD", "/manifests/"), answer(500, ""))
		}, ""},
		{"HEAD redirected to what takes only GET", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case strings.HasPrefix(r.URL.Path, "/signed"):
					if r.Method == http.MethodHead {
						w.WriteHeader(http.StatusForbidden)
						return true
					}
					r.URL.Path = strings.TrimPrefix(r.URL.Path, "/signed")
					l.destination.handler.ServeHTTP(w, r)
					return true
				case r.Method != http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
					sent("http://destination.test/signed"+r.URL.Path)(w, r)
					return true
				}
				return false
			}
		}, ""},
		{"seen after a while", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			var written atomic.Pointer[time.Time]
			return func(w http.ResponseWriter, r *http.Request) bool {
				if !readsAfterPut(l, "HEAD GET")(r) {
					return false
				}
				written.CompareAndSwap(nil, new(time.Now()))
				if time.Since(*written.Load()) > 20*time.Second {
					return false
				}
				answer(404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not yet"}]}`)(w, r)
				return true
			}
		}, ""},
		{"the image before is seen for a while", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(4, readsAfterPut(l, "HEAD GET"), func(w http.ResponseWriter, r *http.Request) {
				saysOfManifest(otherDigest, "")(w, r)
				_, _ = io.WriteString(w, "{}")
			})
		}, ""},
		{"a policy hides it", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, readsAfterPut(l, "HEAD GET"),
				answer(412, `{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"3 vulnerabilities"}]}`))
		}, "3 vulnerabilities"},
		{"who pushes may not pull", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, func(r *http.Request) bool {
				return r.Method != http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
			}, answer(403, `{"errors":[{"code":"DENIED","message":"pull access denied"}]}`))
		}, "pull access denied"},
		{"who pushes does not see it", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, readsAfterPut(l, "HEAD GET"), answer(404, ""))
		}, "404"},
		{"reading fails", func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, readsAfterPut(l, "HEAD GET"), answer(503, "maintenance of reads"))
		}, "maintenance of reads"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 3000, 2))
				l.push("destination.test/app:1", randomImage(t, 100, 1))
				l.destination.fault = test.fault(l)
				began := time.Now()
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.succeeded(t, digest)
				if !strings.Contains(r.outcome.Unconfirmed, test.unconfirmed) || (test.unconfirmed == "") != (r.outcome.Unconfirmed == "") {
					t.Errorf("unconfirmed because of %q, want %q", r.outcome.Unconfirmed, test.unconfirmed)
				}
				if test.unconfirmed != "" && !r.said("could not be read back: ") {
					t.Error("no report says that it could not be read back")
				}
				if took := time.Since(began); took > readBackFor+10*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestOtherImageAtTheDestinationIsAFailure(t *testing.T) {
	for title, methods := range map[string]string{"to all": "GET HEAD", "but HEAD says that it is the image": "GET"} {
		t.Run(title, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				l.push("source.test/app:1", randomImage(t, 3000, 2))
				l.destination.fault = times(forEver, readsAfterPut(l, methods), answer(200, "{}"))
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.failed(t, pull.ExitPermanent, pull.Invalid, "destination registry", "it shows another manifest", "was copied")
			})
		})
	}
}

// Some requests only save work. Without an answer, or with a wrong one, the work must be done all the same.
func TestImagesAreCopiedThoughQuestionsStayUnanswered(t *testing.T) {
	head := func(path string) func(*http.Request) bool { return method("HEAD", path) }
	for _, test := range []struct {
		name  string
		match func(*http.Request) bool
		fault http.HandlerFunc
	}{
		{"blob 403", head("/blobs/"), answer(403, "")},
		{"blob 401", head("/blobs/"), answer(401, "")},
		{"blob 405", head("/blobs/"), answer(405, "")},
		{"blob 429", head("/blobs/"), answer(429, "")},
		{"blob 500", head("/blobs/"), answer(500, "")},
		{"blob is a page", head("/blobs/"), func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "123456") }},
		{"blob hangs", head("/blobs/"), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"tag 401", head("/manifests/"), answer(401, "")},
		{"tag 503", head("/manifests/"), answer(503, "")},
		{"mount 403", method("POST", ""), nil},
		{"mount hangs", method("POST", ""), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				image := randomImage(t, 3000, 2)
				digest := l.push("source.test/team/app:1", image)
				to, registry := "destination.test/app:1", l.destination
				match := test.match
				if strings.HasPrefix(test.name, "mount") {
					to, registry = "source.test/mirror/app:1", l.source
					match = func(r *http.Request) bool { return test.match(r) && r.URL.Query().Has("mount") }
				}
				fault := test.fault
				if fault == nil {
					fault = answer(403, `{"errors":[{"code":"DENIED","message":"no"}]}`)
				}
				registry.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if match(r) && registry.count("PUT", "/manifests/") == 0 {
						fault(w, r)
						return true
					}
					return false
				}
				r := l.copy(t.Context(), "source.test/team/app:1", to)
				r.succeeded(t, digest)
				if r.outcome.BytesCopied != bytesOf(t, image) || r.outcome.Unconfirmed != "" {
					t.Errorf("outcome %+v, want all copied", r.outcome)
				}
			})
		})
	}
}

// A registry that claims to have the tag already would leave the destination with the image before.
func TestFalseHeadDoesNotStopTheWriting(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 3000, 2))
		l.push("destination.test/app:1", randomImage(t, 100, 1))
		l.destination.fault = times(forEver, method("HEAD", "/manifests/"), saysOfManifest(digest.String(), "2"))
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
		if l.destination.count("PUT", "/manifests/1") != 1 {
			t.Error("the tag was not written")
		}
	})
}

// HEAD alone shows that a manifest is there only where the manifest may not be read.
func TestManifestThatCannotBeReadIsWritten(t *testing.T) {
	for status, written := range map[int]bool{200: true, 400: true, 404: true, 405: true, 500: true, 503: true,
		401: false, 403: false, 412: false, 451: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				image := randomImage(t, 3000, 2)
				digest := l.push("source.test/app:1", image)
				l.push("destination.test/app:1", image)
				l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if !method("GET", "/manifests/")(r) || l.destination.count("PUT", "/manifests/") > 0 {
						return false
					}
					answer(status, "")(w, r)
					return true
				}
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.succeeded(t, digest)
				if got := l.destination.count("PUT", "/manifests/1") > 0; got != written || r.outcome.Unconfirmed != "" {
					t.Errorf("written: %t, outcome %+v", got, r.outcome)
				}
			})
		})
	}
}

// A registry that claims to have a blob which it does not have gets it when it refuses the manifest for that.
func TestBlobsThatTheDestinationOnlySaidItHasAreSent(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		image := randomImage(t, 3000, 2)
		digest := l.push("source.test/app:1", image)
		l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case method("HEAD", "/blobs/")(r):
				return true
			case method("PUT", "/manifests/")(r) && l.destination.count("PUT", "/uploads/") < 3:
				answer(400, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"}]}`)(w, r)
				return true
			}
			return false
		}
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		if want := bytesOf(t, image); r.outcome.BytesCopied != want {
			t.Errorf("%d bytes were sent, want %d", r.outcome.BytesCopied, want)
		}
	})
}
