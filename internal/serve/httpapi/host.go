package httpapi

import (
	"net"
	"net/http"
	"net/url"

	"pullwatch/internal/usererr"
)

// requireHost refuses requests unless their Host is localhost, a loopback address, or the host of an allowed origin.
func requireHost(next http.Handler, allowedOrigins []string) http.Handler {
	allowed := map[string]bool{"localhost": true}
	for _, origin := range allowedOrigins {
		if u, err := url.Parse(origin); err == nil {
			allowed[u.Hostname()] = true
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := (&url.URL{Host: r.Host}).Hostname()
		if ip := net.ParseIP(host); !allowed[host] && (ip == nil || !ip.IsLoopback()) {
			refuse(w, http.StatusMisdirectedRequest, usererr.Forbidden,
				"this server is for its own machine only; to reach it as "+host+", start it with --allowed-origin naming that host, "+
					"or let the proxy in front of it pass on the Host header")
			return
		}
		next.ServeHTTP(w, r)
	})
}
