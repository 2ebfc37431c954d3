package mirror

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"
)

func isBlobGet(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
}

// slowly serves blobs at so many bytes a second.
func slowly(registry *testRegistry, perSecond int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !isBlobGet(r) {
			return false
		}
		answer := httptest.NewRecorder()
		registry.handler.ServeHTTP(answer, r)
		w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
		for answer.Body.Len() > 0 {
			_, _ = w.Write(answer.Body.Next(perSecond))
			w.(http.Flusher).Flush()
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return true
			}
		}
		return true
	}
}

// times applies a fault to the first n requests that match.
func times(
	n int32, match func(*http.Request) bool, fault http.HandlerFunc,
) func(http.ResponseWriter, *http.Request) bool {
	var seen atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !match(r) || seen.Add(1) > n {
			return false
		}
		fault(w, r)
		return true
	}
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func method(m, piece string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == m && strings.Contains(r.URL.Path, piece) }
}

// breakOff sends the beginning of what was asked for and closes the connection.
func breakOff(registry *testRegistry) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		registry.handler.ServeHTTP(whole, r)
		w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()))
		_, _ = w.Write(whole.Body.Next(whole.Body.Len() * 2 / 3))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}
