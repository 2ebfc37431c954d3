package mirror

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"pullwatch/internal/pull"
)

// uploads makes a registry keep what has arrived of an upload that breaks off.
type uploads struct {
	registry *testRegistry
	// take returns how many bytes of the nth PATCH are taken before the connection breaks, -1 for all.
	take func(n int) int64
	// silent makes it not tell how much has arrived.
	silent bool
	// cut, if above zero, breaks off each PATCH after so many bytes, and leaves take unused.
	cut int64
	// stateful makes it as distribution 2: an upload's address holds how far it was, so that the bytes of a request that
	// broke off make it good for nothing.
	stateful bool
	// whole makes it take no upload in pieces.
	whole bool

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
	if r.Method != http.MethodPost && u.stateful && r.URL.Query().Get("_state") != strconv.Itoa(part.Len()) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(404, `{"errors":[{"code":"BLOB_UPLOAD_INVALID","message":"blob upload invalid"}]}`)(w, r)
		return true
	}
	switch r.Method {
	case http.MethodPost:
		id = strconv.Itoa(len(u.parts) + 1)
		u.parts[id] = new(bytes.Buffer)
		w.Header().Set("Location", r.URL.Path+id+"?_state=0")
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
		limit := u.cut
		if u.cut == 0 {
			limit = u.take(u.patches)
		}
		if r.ContentLength < 1000 || (u.cut > 0 && r.ContentLength <= u.cut) {
			limit = -1
		}
		if from := r.Header.Get("Content-Range"); from != "" && !strings.HasPrefix(from, fmt.Sprintf("%d-", part.Len())) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return true
		}
		if u.whole && part.Len() > 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			answer(405, `{"errors":[{"code":"UNSUPPORTED","message":"one PATCH only"}]}`)(w, r)
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
		w.Header().Set("Location", fmt.Sprintf("%s?_state=%d", r.URL.Path, part.Len()))
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
	t.Run("where the registry tells what cannot be", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			digest := l.push("source.test/app:1", randomImage(t, 300_000, 1))
			u := &uploads{registry: l.destination, take: first(1, 150_000)}
			l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
				return times(forEver, method("GET", "/uploads/"), func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Range", "0-9223372036854775807")
					w.WriteHeader(http.StatusNoContent)
				})(w, r) || u.serve(w, r)
			}
			r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
			r.succeeded(t, digest)
			if strings.Count(fmt.Sprint(r.events), "Retrying") != 1 {
				t.Errorf("more than what broke off was sent again: %+v", r.events)
			}
		})
	})
	t.Run("never further", func(t *testing.T) {
		inLab(t, func(t *testing.T, l *lab) {
			l.push("source.test/app:1", randomImage(t, 300_000, 1))
			l.destination.fault = (&uploads{registry: l.destination, take: always(0)}).serve
			r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
			r.failed(t, pull.ExitTransient, pull.Network, "destination registry")
		})
	})
}

// A large blob arrives behind a proxy that cuts requests at a size, where the registry loses what a broken one brought.
func TestAnUploadArrivesBehindAProxyThatCutsRequests(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		image := randomImage(t, 30<<20, 1)
		digest := l.push("source.test/app:1", image)
		u := &uploads{registry: l.destination, cut: 9 << 20, stateful: true}
		l.destination.fault = u.serve
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		if !r.said("in pieces of") || strings.Count(fmt.Sprint(r.events), "Retrying") != 1 {
			t.Errorf("it was not sent in pieces after the first break: %+v", r.events)
		}
		if n := l.source.count("GET", "/blobs/"); n > 3 {
			t.Errorf("the source was asked %d times for 2 blobs", n)
		}
	})
}

// A registry that takes a blob in one request only gets it so, even after a request that broke off.
func TestAnUploadThatBreaksOffArrivesWhereThereAreNoPieces(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 5<<20, 1))
		breaks := true
		u := &uploads{registry: l.destination, stateful: true, whole: true, take: func(int) int64 { return -1 }}
		l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if breaks && r.Method == http.MethodPatch && r.ContentLength > 1000 {
				breaks = false
				u.cut = 3 << 20
				defer func() { u.cut = 0 }()
			}
			return u.serve(w, r)
		}
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
	})
}

// A registry that loses an upload in pieces gets it in pieces again: the whole does not come through where they do.
func TestUploadInPiecesThatIsLostBeginsAgainInPieces(t *testing.T) {
	for _, test := range []struct {
		name string
		// piece is the one that finds the upload gone: the first comes behind what was sent whole and cut.
		piece int32
		body  string
	}{
		{"at the second piece", 2, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}`},
		{"after pieces that were taken", 5, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 30<<20, 1))
				u := &uploads{registry: l.destination, cut: 9 << 20, stateful: true}
				var pieces atomic.Int32
				lose := times(1, func(r *http.Request) bool {
					return r.Method == http.MethodPatch && r.Header.Get("Content-Range") != "" && pieces.Add(1) == test.piece
				}, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					answer(404, test.body)(w, r)
				})
				l.destination.fault = func(w http.ResponseWriter, r *http.Request) bool { return lose(w, r) || u.serve(w, r) }
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.succeeded(t, digest)
				if strings.Count(fmt.Sprint(r.events), "Retrying") != 1 || pieces.Load() <= test.piece {
					t.Errorf("not sent in pieces again after the loss (%d pieces): %+v", pieces.Load(), r.events)
				}
			})
		})
	}
}

// An upload whose last answer is lost is not sent again, and counts as copied.
func TestAnUploadWhoseAnswerIsLostIsNotSentAgain(t *testing.T) {
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
func TestAnUploadRefusedForItsTokenIsSentAgain(t *testing.T) {
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
