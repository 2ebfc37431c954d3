package mirror

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func isMount(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("mount") }

// tokensByUser is a registry whose token server denies the reader's scope to the writer and the other way round.
func tokensByUser(registry *testRegistry) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		user, _, _ := r.BasicAuth()
		if r.URL.Path == "/token" {
			for _, scope := range r.URL.Query()["scope"] {
				if strings.Contains(scope, "repository:mirror/") != (user == "writer") {
					answer(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"not your repository"}]}`)(w, r)
					return true
				}
			}
			_, _ = fmt.Fprintf(w, `{"token":%q}`, user)
			return true
		}
		if r.Header.Get("Authorization") == "Bearer writer" == strings.Contains(r.URL.Path, "/mirror/") && r.Header.Get("Authorization") != "" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="http://source.test/token",service="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

// A blob that a registry does not mount must arrive all the same.
func TestMountThatFailsBecomesACopy(t *testing.T) {
	for title, fault := range map[string]func(l *lab) func(http.ResponseWriter, *http.Request) bool{
		"scope denied": func(l *lab) func(http.ResponseWriter, *http.Request) bool { return tokensByUser(l.source) },
		"hangs": func(*lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, isMount, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			})
		},
		"token hangs": func(*lab) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/token" && len(r.URL.Query()["scope"]) > 1 {
					<-r.Context().Done()
					return true
				}
				if r.URL.Path == "/token" {
					_, _ = io.WriteString(w, `{"token":"good"}`)
					return true
				}
				return tokenNeeded("http://source.test/token")(w, r)
			}
		},
		"refused": func(*lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, isMount, answer(http.StatusForbidden, `{"errors":[{"code":"DENIED"}]}`))
		},
		"fails": func(*lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, isMount, answer(http.StatusInternalServerError, ""))
		},
		"hangs up": func(*lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, isMount, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
		"begins an upload": func(l *lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, isMount, func(w http.ResponseWriter, r *http.Request) {
				r.URL.RawQuery = ""
				l.source.handler.ServeHTTP(w, r)
			})
		},
		"says that it did": func(*lab) func(http.ResponseWriter, *http.Request) bool {
			return times(forEver, isMount, answer(http.StatusCreated, ""))
		},
	} {
		t.Run(title, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				image := randomImage(t, 3000, 5)
				digest := l.push("source.test/app:1", image)
				logIn(t, map[string]string{"source.test/app": "reader:x", "source.test/mirror": "writer:x"})
				l.source.fault = fault(l)
				start := time.Now()
				r := l.copy(t.Context(), "source.test/app:1", "source.test/mirror/app:1")
				r.succeeded(t, digest)
				if want := bytesOf(t, image); r.outcome.BytesCopied != want {
					t.Errorf("%d of %d bytes were copied", r.outcome.BytesCopied, want)
				}
				if took := time.Since(start); took > mountTimeout+time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
