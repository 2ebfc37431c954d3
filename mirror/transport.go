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

// guard is the transport under all that is sent to one registry and where that has it sent. It refuses plain HTTP,
// which the registry library falls back to by itself for local and private addresses; ends requests that hang; bounds
// manifests; keeps Retry-After; and silences other hosts.
type guard struct {
	base http.RoundTripper
	// registry is the registry's host, with the port if one is given, as requests have it.
	registry string
	plain    map[string]bool
}

func newGuard(base http.RoundTripper, registry string, insecure []string) *guard {
	g := &guard{base: base, registry: registry, plain: make(map[string]bool, len(insecure))}
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
	elsewhere := g.elsewhere(req)
	resp, err := watchedRoundTrip(g.base, req)
	if err != nil && elsewhere {
		err = quiet(req.URL.Host, err)
	}
	if err != nil {
		return nil, err
	}
	if elsewhere {
		if err := g.silence(req, resp); err != nil {
			return nil, err
		}
	}
	if asksForManifest(firstOf(req)) { // only its path is the registry's
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxManifest}
	}
	withRetryAfter(resp)
	return resp, nil
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
