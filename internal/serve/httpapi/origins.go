package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"
)

// originAllowed reports whether a request is sent by no page, a page of this server, or a page of one of the allowed origins.
func originAllowed(r *http.Request, allowed []string) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(allowed, origin) {
		return true
	}
	u, err := url.Parse(origin)
	// The origin of a sandboxed page is "null", which has no host.
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
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
