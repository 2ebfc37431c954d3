package httpapi

import (
	"net/http"
	"sync"
)

// handlers counts the requests that are being answered. http.Server.Close closes their connections, but does not wait for
// their handlers.
type handlers struct {
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

// track is around the handler of all requests.
func (h *handlers) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.begin() {
			return // its connection is closed already
		}
		defer h.running.Done()
		next.ServeHTTP(w, r)
	})
}

func (h *handlers) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.stopped {
		h.running.Add(1)
	}
	return !h.stopped
}

// wait lets no more requests through, and returns when all others have been answered.
func (h *handlers) wait() {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.running.Wait()
}
