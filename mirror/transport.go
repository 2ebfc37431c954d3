package mirror

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	connectTimeout = 15 * time.Second
	// maxManifest is the size up to which the distribution specification asks registries to take manifests.
	maxManifest = 4 << 20
)

// newHTTPTransport returns the transport of one copy. Its buffers bound the memory that blobs take on their way.
func newHTTPTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: connectTimeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 2 * parallel,
		IdleConnTimeout:     90 * time.Second,
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     64 << 10,
		// The default would hold 4 MiB for each blob that arrives faster than it can be sent on.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 20, MaxReceiveBufferPerConnection: parallel << 20},
	}
}

// guard is the transport under all that is sent to registries and where they redirect to. It refuses plain HTTP, which
// the registry library falls back to by itself for local and private addresses; ends requests that hang; bounds
// manifests; and keeps Retry-After.
type guard struct {
	base  http.RoundTripper
	plain map[string]bool
}

func newGuard(base http.RoundTripper, insecure []string) *guard {
	g := &guard{base: base, plain: make(map[string]bool, len(insecure))}
	for _, host := range insecure {
		g.plain[strings.ToLower(host)] = true
	}
	return g
}

// plainHTTPError is returned for a request that would go over plain HTTP without permission.
type plainHTTPError struct{ host string }

func (e *plainHTTPError) Error() string {
	return fmt.Sprintf("plain HTTP to %s is not allowed; --insecure-registry=%s would allow it", e.host, e.host)
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.plain[strings.ToLower(req.URL.Host)] {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, &plainHTTPError{req.URL.Host}
	}
	resp, err := watchedRoundTrip(g.base, req)
	if err != nil {
		return nil, err
	}
	if asksForManifest(req) {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxManifest}
	}
	withRetryAfter(resp)
	return resp, nil
}

// asksForManifest looks at the first of a chain of redirected requests: only its path is the registry's.
func asksForManifest(req *http.Request) bool {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/manifests/")
}

// boundedBody fails, rather than ends, behind its bound.
type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if n > b.left {
		return b.left, errTooLarge
	}
	b.left -= n
	return n, err
}
