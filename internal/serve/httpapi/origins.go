package httpapi

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/cors"
)

// origins decides which pages may send GETs and open streams and WebSockets.
type origins struct {
	allowed []string
	logger  *slog.Logger

	mu     sync.Mutex
	logged map[string]bool // origins that were refused and logged
}

const (
	// maxLoggedOrigins is how many origins that are refused get a line in the log. Any client can name one.
	maxLoggedOrigins = 100
	// maxLoggedOrigin is how long such an origin may be, in bytes. No host's name is longer than 253.
	maxLoggedOrigin = 300
)

func newOrigins(o Options) *origins {
	return &origins{allowed: o.AllowedOrigins, logger: o.Logger, logged: map[string]bool{}}
}

// allow reports whether a request is sent by no page, a page of this server, or a page of one of the allowed origins.
func (o *origins) allow(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(o.allowed, origin) {
		return true
	}
	u, err := url.Parse(origin)
	// The origin of a sandboxed page is "null", which has no host.
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// refused returns the message for a request that is refused because of its page. It logs one line for each origin.
func (o *origins) refused(r *http.Request) string {
	origin := r.Header.Get("Origin")
	if origin == "" || len(origin) > maxLoggedOrigin {
		return "pages of other origins may not send GETs or open streams or WebSockets here"
	}
	if o.first(origin) {
		o.logger.WarnContext(r.Context(), "pages of another origin may not send GETs or open streams or WebSockets; "+
			"if it is yours, name it with --allowed-origin, or let the proxy in front pass on the Host header", "origin", origin, "host", r.Host)
	}
	return "pages of " + origin + " may not send GETs or open streams or WebSockets at " + r.Host + "; start the server with --allowed-origin=" + origin +
		", or let the proxy in front of it pass on the Host header"
}

// first reports whether the origin has not been logged yet and is to be.
func (o *origins) first(origin string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.logged[origin] || len(o.logged) == maxLoggedOrigins {
		return false
	}
	o.logged[origin] = true
	return true
}

// shareWith lets only pages of the allowed origins send requests to next and read the responses.
func shareWith(allowed []string, next http.Handler) http.Handler {
	if len(allowed) == 0 {
		return next
	}
	return cors.New(cors.Options{
		// Not AllowedOrigins: it takes wildcards.
		AllowOriginFunc:  func(origin string) bool { return slices.Contains(allowed, origin) },
		AllowedMethods:   []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders:   []string{"*"},
		ExposedHeaders:   []string{"ETag", "Retry-After"},
		AllowCredentials: true, // for a proxy in front of this server that authenticates users
		MaxAge:           int((10 * time.Minute).Seconds()),
	}).Handler(next)
}
