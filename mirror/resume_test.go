package mirror

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"pullwatch/pull"
)

// wholeBlob returns all of the content that is asked for, or a part of.
func wholeBlob(registry *testRegistry, r *http.Request) []byte {
	whole, all := httptest.NewRecorder(), r.Clone(r.Context())
	all.Header.Del("Range")
	registry.handler.ServeHTTP(whole, all)
	return whole.Body.Bytes()
}

// cutting serves blobs of more than cut bytes in pieces of that length, as a proxy does that ends responses at a size.
// With ranges, what is asked for from a position on begins there.
func cutting(registry *testRegistry, cut int, ranges bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !isBlobGet(r) {
			return false
		}
		content, from := wholeBlob(registry, r), 0
		if asked := r.Header.Get("Range"); asked != "" && ranges {
			_, _ = fmt.Sscanf(asked, "bytes=%d-", &from)
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(content[from:min(len(content), from+cut)])
		if from+cut < len(content) {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

func TestDownloadThatIsCutArrives(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		image := randomImage(t, 300_000, 1)
		digest := l.push("source.test/app:1", image)
		l.source.fault = cutting(l.source, 20_000, true)
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		if n := l.destination.count("PATCH", ""); n != 2 {
			t.Errorf("%d uploads, want one for each blob", n)
		}
	})
}

func TestDownloadThatNeverComesFurtherEnds(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", randomImage(t, 300_000, 1))
		l.source.fault = cutting(l.source, 20_000, false)
		began := time.Now()
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitTransient, pull.Network, "The source registry source.test broke off the connection")
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

// What comes after a break is checked like all else.
func TestResumedDownloadIsChecked(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", randomImage(t, 300_000, 1))
		serve := cutting(l.source, 100_000, true)
		var spoilt sync.Once
		l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" {
				spoilt.Do(func() { l.source.corrupt("app") }) // in the middle
			}
			return serve(w, r)
		}
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitPermanent, pull.Invalid, "The source registry source.test", "checksum")
		if l.destination.count("PUT", "/manifests/") > 0 {
			t.Error("a manifest was put")
		}
	})
}

// uploads makes a registry keep what has arrived of an upload that breaks off.
type uploads struct {
	registry *testRegistry
	// take returns how many bytes of the nth PATCH are taken before the connection breaks, -1 for all.
	take func(n int) int64
	// silent makes it not tell how much has arrived.
	silent bool

	mu       sync.Mutex
	parts    map[string]*bytes.Buffer
	patches  int
	received int64
}

func (u *uploads) serve(w http.ResponseWriter, r *http.Request) bool {
	repository, id, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/uploads/")
	if !ok {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.parts == nil {
		u.parts = make(map[string]*bytes.Buffer)
	}
	part := u.parts[id]
	if part == nil && r.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	switch r.Method {
	case http.MethodPost:
		id = strconv.Itoa(len(u.parts) + 1)
		u.parts[id] = new(bytes.Buffer)
		w.Header().Set("Location", r.URL.Path+id)
		w.WriteHeader(http.StatusAccepted)
	case http.MethodGet:
		if u.silent {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}
		w.Header().Set("Location", r.URL.Path)
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(0, part.Len()-1)))
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPatch:
		u.patches++
		limit := u.take(u.patches)
		if r.ContentLength < 1000 {
			limit = -1
		}
		if from := r.Header.Get("Content-Range"); from != "" && !strings.HasPrefix(from, fmt.Sprintf("%d-", part.Len())) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		}
		body := io.Reader(r.Body)
		if limit >= 0 {
			body = io.LimitReader(body, limit)
		}
		n, _ := io.Copy(part, body)
		u.received += n
		if limit >= 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Location", r.URL.Path)
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		digest, err := v1.NewHash(r.URL.Query().Get("digest"))
		if sum, _, _ := v1.SHA256(bytes.NewReader(part.Bytes())); err != nil || sum != digest {
			answer(400, `{"errors":[{"code":"DIGEST_INVALID","message":"not what was sent"}]}`)(w, r)
			return true
		}
		_ = u.registry.Put(context.Background(), repository, digest, io.NopCloser(part))
		w.WriteHeader(http.StatusCreated)
	}
	return true
}

func TestUploadThatBreaksOffGoesOn(t *testing.T) {
	always := func(n int64) func(int) int64 { return func(int) int64 { return n } }
	first := func(times int, n int64) func(int) int64 {
		return func(patch int) int64 {
			if patch <= times+1 { // the config goes first
				return n
			}
			return -1
		}
	}
	for _, test := range []struct {
		name   string
		take   func(int) int64
		silent bool
		// most is how many bytes may be sent in all.
		most int64
	}{
		{"often", func(n int) int64 {
			if n < 9 {
				return 40_000
			}
			return -1
		}, false, 310_000},
		{"once", first(1, 150_000), false, 310_000},
		{"where the registry does not tell", first(1, 150_000), true, 460_000},
		{"before a byte has arrived", first(2, 0), false, 310_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				image := randomImage(t, 300_000, 1)
				digest := l.push("source.test/app:1", image)
				u := &uploads{registry: l.destination, take: test.take, silent: test.silent}
				l.destination.fault = u.serve
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.succeeded(t, digest)
				if u.received > test.most || r.outcome.BytesCopied != bytesOf(t, image) {
					t.Errorf("%d bytes were sent, outcome %+v", u.received, r.outcome)
				}
			})
		})
	}
	t.Run("never further", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			l.push("source.test/app:1", randomImage(t, 300_000, 1))
			l.destination.fault = (&uploads{registry: l.destination, take: always(0)}).serve
			r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
			r.failed(t, pull.ExitTransient, pull.Network, "destination registry")
		})
	})
}

// An upload whose last answer is lost is not sent again, and counts as copied.
func TestLostAnswerToAnUpload(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		image := randomImage(t, 300_000, 1)
		digest := l.push("source.test/app:1", image)
		l.destination.fault = times(1, method("PUT", "/uploads/"), func(_ http.ResponseWriter, r *http.Request) {
			l.destination.handler.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		if n := l.destination.count("PATCH", ""); n != 2 || r.outcome.BytesCopied != bytesOf(t, image) {
			t.Errorf("%d uploads of 2 blobs, outcome %+v", n, r.outcome)
		}
	})
}

// A token that is refused with an upload's body is renewed, and the body comes again.
func TestUploadRefusedForItsToken(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 300_000, 1))
		refuse := times(1, func(r *http.Request) bool { return r.Method == http.MethodPatch && r.ContentLength > 1000 },
			func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://destination.test/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
		l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				_, _ = io.WriteString(w, `{"token":"good"}`)
				return true
			}
			return tokenNeeded("http://destination.test/token")(w, r) || refuse(w, r)
		}
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		if r.said("Retrying") {
			t.Error("an expired token is told as a failure")
		}
	})
}

// Servers that move a blob before they answer are slow, not gone: proxies that buffer, caches that fetch, storage that
// copies.
func TestSlowAnswersAreWaitedFor(t *testing.T) {
	for _, test := range []struct {
		name  string
		match func(*http.Request) bool
		at    func(*lab) *testRegistry
	}{
		{"upload", method("PATCH", ""), func(l *lab) *testRegistry { return l.destination }},
		{"end of an upload", method("PUT", "/uploads/"), func(l *lab) *testRegistry { return l.destination }},
		{"manifest", method("PUT", "/manifests/"), func(l *lab) *testRegistry { return l.destination }},
		{"blob", isBlobGet, func(l *lab) *testRegistry { return l.source }},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 3000, 1))
				test.at(l).fault = func(_ http.ResponseWriter, r *http.Request) bool {
					if test.match(r) {
						body, _ := io.ReadAll(r.Body)
						r.Body = io.NopCloser(bytes.NewReader(body))
						time.Sleep(200 * time.Second)
					}
					return false
				}
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.succeeded(t, digest)
				if r.said("Retrying") {
					t.Error("it was sent again")
				}
			})
		})
	}
}

// Bytes are copied as they are, whatever headers say of them and whatever is done to them for who asks for it.
func TestBytesAsTheyAre(t *testing.T) {
	for _, test := range []struct {
		name  string
		serve func(w http.ResponseWriter, r *http.Request, content []byte)
	}{
		{"compressed for who takes it", func(w http.ResponseWriter, r *http.Request, content []byte) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				_, _ = w.Write(content)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			_, _ = packed.Write(content)
			_ = packed.Close()
		}},
		{"called compressed", func(w http.ResponseWriter, _ *http.Request, content []byte) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(content)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 3000, 1))
				l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if !isBlobGet(r) && !method("GET", "/manifests/")(r) {
						return false
					}
					whole := httptest.NewRecorder()
					l.source.handler.ServeHTTP(whole, r)
					w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
					test.serve(w, r, whole.Body.Bytes())
					return true
				}
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
			})
		})
	}
}

// A blob of another size than its manifest says is the source's fault.
func TestWrongSizesAreBlamedOnTheSource(t *testing.T) {
	for _, test := range []struct {
		name  string
		serve func(w http.ResponseWriter, content []byte)
	}{
		{"longer", func(w http.ResponseWriter, content []byte) { _, _ = w.Write(append(content, 'x')) }},
		{"shorter", func(w http.ResponseWriter, content []byte) { _, _ = w.Write(content[1:]) }},
		{"longer, of no told length", func(w http.ResponseWriter, content []byte) {
			w.(http.Flusher).Flush()
			_, _ = w.Write(append(content, 'x'))
		}},
		{"shorter, of no told length", func(w http.ResponseWriter, content []byte) {
			w.(http.Flusher).Flush()
			_, _ = w.Write(content[1:])
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				l.push("source.test/app:1", randomImage(t, 3000, 1))
				l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if !isBlobGet(r) {
						return false
					}
					test.serve(w, wholeBlob(l.source, r))
					return true
				}
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.failed(t, pull.ExitPermanent, pull.Invalid, "The source registry source.test answered with something wrong", "its manifest says")
			})
		})
	}
}

// When one blob fails that may arrive another time, the next attempt need not send the others again.
func TestFailingBlobLeavesTheOthersTheirWay(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		image := randomImage(t, 50_000, 3)
		l.push("source.test/app:1", image)
		layers, err := image.Layers()
		if err != nil {
			t.Fatal(err)
		}
		bad, err := layers[0].Digest()
		if err != nil {
			t.Fatal(err)
		}
		size, err := layers[0].Size()
		if err != nil {
			t.Fatal(err)
		}
		// The others take a minute, far longer than it takes to give up the bad one.
		slow := slowly(l.source, 1000)
		l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if isBlobGet(r) && strings.Contains(r.URL.Path, bad.String()) {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return slow(w, r)
		}
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitTransient, pull.Network, "source registry")
		if want := bytesOf(t, image) - size; r.outcome.BytesCopied != want {
			t.Errorf("%d bytes have arrived, want %d", r.outcome.BytesCopied, want)
		}
	})
}
