package mirror

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"pullwatch/internal/pull"
)

func isLargePatch(r *http.Request) bool {
	return r.Method == http.MethodPatch && r.ContentLength > 10_000
}

// A registry that takes no small pieces gets pieces of the size that it asks for.
func TestPiecesAreAsLargeAsTheRegistryWants(t *testing.T) {
	const least = 7 << 20
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 30<<20, 1))
		u := &uploads{registry: l.destination, cut: 9 << 20, stateful: true}
		pieces := 0
		l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.Header().Set("OCI-Chunk-Min-Length", fmt.Sprint(least))
			}
			var first, last int64
			if n, _ := fmt.Sscanf(r.Header.Get("Content-Range"), "%d-%d", &first, &last); n == 2 {
				if pieces++; r.ContentLength < least && last < 30<<20 {
					_, _ = io.Copy(io.Discard, r.Body)
					answer(400, `{"errors":[{"code":"SIZE_INVALID","message":"the chunk is too small"}]}`)(w, r)
					return true
				}
			}
			return u.serve(w, r)
		}
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
		if pieces == 0 || pieces > 10 {
			t.Errorf("%d pieces of at least %d bytes", pieces, least)
		}
	})
}

// What a registry has taken of a piece counts, not what was sent of it. The image arrives even if the registry says that wrongly.
func TestUploadGoesOnWhereTheRegistrySaysThatItIs(t *testing.T) {
	// partly takes only so many bytes of each of the first n large requests.
	partly := func(u *uploads, n, bytes int64) func(http.ResponseWriter, *http.Request) bool {
		has := make(map[string]int64)
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch {
				return u.serve(w, r)
			}
			takes := r.ContentLength
			if n > 0 && takes > 10_000 {
				n--
				takes = min(bytes, takes)
			}
			has[r.URL.Path] += takes
			w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, has[r.URL.Path]-1)))
			whole := r.Body
			r.Body = io.NopCloser(io.LimitReader(whole, takes))
			done := u.serve(w, r)
			_, _ = io.Copy(io.Discard, whole)
			return done
		}
	}
	says := func(text string) func(*uploads) func(http.ResponseWriter, *http.Request) bool {
		return func(u *uploads) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if isLargePatch(r) {
					w.Header().Set("Range", text)
				}
				return u.serve(w, r)
			}
		}
	}
	for _, test := range []struct {
		name  string
		fault func(*uploads) func(http.ResponseWriter, *http.Request) bool
		// most is how many bytes may be sent in all.
		most int64
	}{
		{"once", func(u *uploads) func(http.ResponseWriter, *http.Request) bool { return partly(u, 1, 100_000) }, 310_000},
		{"piece by piece", func(u *uploads) func(http.ResponseWriter, *http.Request) bool { return partly(u, 20, 20_000) }, 310_000},
		{"it says less than it has", says("0-99999"), 700_000},
		{"it always says none", says("0-0"), 310_000},
		{"it says nonsense", says("bytes */*"), 310_000},
		{"it says more than there is", says("bytes=0-999999999"), 310_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 300_000, 1))
				u := &uploads{registry: l.destination, take: func(int) int64 { return -1 }}
				l.destination.fault = test.fault(u)
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
				if u.received > test.most {
					t.Errorf("%d bytes were sent", u.received)
				}
			})
		})
	}
}

// A proxy that refuses large requests gets small ones, for every blob behind the first as well.
func TestAProxyThatRefusesLargeRequestsGetsSmallOnes(t *testing.T) {
	refuse := func(limit int64) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.ContentLength <= limit {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body)
			answer(413, "<html><head><title>413 Request Entity Too Large</title></head><body><center>nginx</center></body></html>")(w, r)
			return true
		}
	}
	for _, limit := range []int64{9 << 20, 4 << 20} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 13<<20, 2))
				u := &uploads{registry: l.destination, stateful: true, take: func(int) int64 { return -1 }}
				tooLarge, refused := refuse(limit), 0
				l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if tooLarge(w, r) {
						u.mu.Lock()
						refused++
						u.mu.Unlock()
						return true
					}
					return u.serve(w, r)
				}
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.succeeded(t, digest)
				if r.said("Retrying") || !r.said("in pieces of") || refused > 6 {
					t.Errorf("%d requests were too large: %+v", refused, r.events)
				}
			})
		})
	}
	for name, whole := range map[string]bool{"too small for images": false, "where the registry takes no pieces": true} {
		t.Run(name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				l.push("source.test/app:1", randomImage(t, 13<<20, 1))
				u := &uploads{registry: l.destination, stateful: true, whole: whole, take: func(int) int64 { return -1 }}
				limit := int64(1 << 20)
				if whole {
					limit = 8 << 20
				}
				tooLarge := refuse(limit)
				l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool { return tooLarge(w, r) || u.serve(w, r) }
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.failed(t, pull.ExitPermanent, pull.Invalid, "destination registry destination.test or a proxy in front of it",
					"client_max_body_size", "413 Request Entity Too Large")
				if strings.Contains(r.outcome.Message, "<") {
					t.Errorf("HTML in %q", r.outcome.Message)
				}
				if n := l.destination.count("PATCH", ""); n > 12 {
					t.Errorf("%d requests for a blob that cannot be sent", n)
				}
			})
		})
	}
}
