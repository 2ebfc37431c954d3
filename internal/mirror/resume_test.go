package mirror

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pullwatch/internal/pull"
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

// Bytes after a break are checked like all others.
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

// Neither headers nor compression on the way change the bytes of a blob.
func TestBytesArriveAsTheyAre(t *testing.T) {
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

// One blob fails for a passing reason. The next attempt need not send the others again.
func TestAFailingBlobLetsTheOthersArrive(t *testing.T) {
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
