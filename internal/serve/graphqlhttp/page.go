package graphqlhttp

import (
	"net/http"

	"pullwatch/internal/usererr"
)

// pageAllowed reports whether the page that sends the request, if any, may send a GET or open a stream. A browser sends Origin if
// the page could read the response. Otherwise it sends Sec-Fetch-Site only, over HTTPS and to loopback addresses.
func (e *exchange) pageAllowed() bool {
	header := e.r.Header
	if header.Get("Origin") == "" {
		switch header.Get("Sec-Fetch-Site") {
		case "cross-site", "same-site":
			// Somebody may click on a link in a page. A page cannot do that by itself, nor see what comes of it.
			return header.Get("Sec-Fetch-Dest") == "document" && header.Get("Sec-Fetch-User") == "?1"
		}
	}
	return e.transport.options.CheckOrigin(e.r)
}

func (e *exchange) refusePage() *refusal {
	return &refusal{status: http.StatusForbidden, code: usererr.Forbidden, message: e.transport.options.OriginRefused(e.r)}
}
