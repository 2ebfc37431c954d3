package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pullwatch/graphqlws"
	"pullwatch/usererr"
)

type socketKey struct{}

// newSockets returns the transport of WebSockets, which a page may open from this server's own origin or one of allowed.
func newSockets(allowed []string, metrics *socketMetrics) *graphqlws.Transport {
	return graphqlws.New(graphqlws.Options{
		CheckOrigin: func(r *http.Request) bool { return originAllowed(r, allowed) },
		Refuse:      refuseSocket,
		InitFunc: func(ctx context.Context, _ http.Header, _ map[string]any) (context.Context, map[string]any, error) {
			return context.WithValue(ctx, socketKey{}, true), nil, nil
		},
		Observer: metrics,
	})
}

// originAllowed reports whether a request comes from no page at all, a page of this server, or one of allowed.
func originAllowed(r *http.Request, allowed []string) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(allowed, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// refuseSocket answers a request that gets no WebSocket.
func refuseSocket(w http.ResponseWriter, r *http.Request, status int, reason error) {
	code, message := usererr.BadInput, reason.Error()
	switch status {
	case http.StatusForbidden:
		code = usererr.Forbidden
		message = "pages of " + r.Header.Get("Origin") + " may not open WebSockets here; start the server with --allowed-origin to let them"
	case http.StatusTooManyRequests:
		code = usererr.LimitExceeded
	case http.StatusServiceUnavailable:
		code = usererr.Unavailable
	}
	refuse(w, status, code, message)
}
