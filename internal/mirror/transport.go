package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	connectTimeout = 15 * time.Second
	// maxManifest is the size up to which the distribution specification asks registries to take manifests.
	maxManifest = 4 << 20
	// maxRefusal is how much of a refusal is read. The registry library would not even tell the status of a longer one.
	maxRefusal = 64 << 10
)

// newHTTPTransport returns what the transports of one copy are made from. Its buffers bound the memory that blobs take
// on their way.
func newHTTPTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second, ControlContext: controlConnect}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: checkProxy,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    2 * parallel,
		IdleConnTimeout:        90 * time.Second,
		ReadBufferSize:         64 << 10,
		WriteBufferSize:        64 << 10,
		// The default would hold 4 MiB for each blob that arrives faster than it can be sent on.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 20, MaxReceiveBufferPerConnection: parallel << 20},
	}
}

// proxyError is returned for a proxy that does not connect to a host.
type proxyError struct {
	proxy, host string
	status      int
}

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy %s does not connect to %s: %d %s", e.proxy, e.host, e.status, http.StatusText(e.status))
}

func checkProxy(_ context.Context, proxy *url.URL, connect *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyError{proxy.Host, connect.Host, resp.StatusCode}
}

// guard is the transport of all requests to one registry, and to the hosts that the registry sends the copier to. It decides
// which hosts may be asked, and how: see reach for addresses, and scheme for plain HTTP. It ends requests that hang; bounds
// manifests and refusals; keeps Retry-After; and silences other hosts.
type guard struct {
	// registry is the registry's host, with the port if one is given, as requests have it.
	registry string
	// insecure has the hosts of --insecure-registry, in lower case.
	insecure map[string]bool
	reach    *reach
	scheme   schemeOf
	// own is for the registry itself. elsewhere is for all other hosts, and unverified for those of them that are
	// insecure: a connection that was made under one rule must not serve a request under another.
	own, elsewhere, unverified *http.Transport
}

// newGuard makes the guard of a registry, with transports that are like base. close closes them. nil authorities are the
// system's.
func newGuard(base *http.Transport, registry string, authorities *x509.CertPool, opts Options) *guard {
	g := &guard{registry: registry, insecure: hostSet(opts.InsecureRegistries), reach: newReach(registry, opts.AllowPrivateHosts)}
	verifying := func(verify bool) *http.Transport {
		t := base.Clone()
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = new(tls.Config)
		}
		if authorities != nil {
			t.TLSClientConfig.RootCAs = authorities
		}
		t.TLSClientConfig.InsecureSkipVerify = !verify
		return t
	}
	g.own, g.elsewhere, g.unverified = verifying(!g.isInsecure(registry)), verifying(true), verifying(false)
	return g
}

func (g *guard) close() {
	for _, t := range []*http.Transport{g.own, g.elsewhere, g.unverified} {
		t.CloseIdleConnections()
	}
}

func (g *guard) isInsecure(host string) bool { return g.insecure[strings.ToLower(host)] }

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	req, transport, err := g.admit(req)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	elsewhere := g.elsewhereThan(req)
	var resp *http.Response
	if g.isRegistry(req) && g.isInsecure(g.registry) {
		resp, err = g.scheme.roundTrip(transport, req)
	} else {
		resp, err = watchedRoundTrip(transport, req)
	}
	if err != nil && elsewhere {
		err = quiet(req.URL.Host, err)
	}
	if err != nil {
		return nil, err
	}
	g.disguise(resp)
	if elsewhere {
		if err := g.silence(req, resp); err != nil {
			return nil, err
		}
	}
	switch {
	case resp.StatusCode >= http.StatusBadRequest:
		resp.Body = &cutBody{io.LimitReader(resp.Body, maxRefusal), resp.Body}
	case asksForManifest(firstOf(req)): // only its path is the registry's
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxManifest}
	}
	withRetryAfter(resp)
	return resp, nil
}

// admit returns the request as it is to be sent and the transport that sends it. The error says why it must not be sent.
func (g *guard) admit(given *http.Request) (*http.Request, *http.Transport, error) {
	req := given.Clone(given.Context())
	req.URL.Host = unalias(req.URL.Host)
	req.Host = unalias(req.Host)
	req.Header.Del("Referer") // it would tell one host how another signs its URLs
	own := g.isRegistry(req)
	transport := g.elsewhere
	switch {
	case own:
		transport = g.own
	case g.isInsecure(req.URL.Host):
		transport = g.unverified
	}
	if known := g.scheme.get(); own && known != "" {
		req.URL.Scheme = known
	}
	if req.URL.Scheme != "https" && !g.isInsecure(req.URL.Host) {
		return req, nil, &plainHTTPError{req.URL.Host}
	}
	if addr, ok := literal(req.URL.Hostname()); ok && !own {
		if err := g.reach.check(req.URL.Host, addr); err != nil {
			return req, nil, err
		}
	}
	if transport.Proxy != nil {
		if proxy, err := transport.Proxy(req); err != nil || proxy != nil {
			return req, transport, err
		}
	}
	return req.WithContext(context.WithValue(req.Context(), visitKey{}, visit{g.reach, req.URL.Host, own})), transport, nil
}

// cutBody ends at a bound, as if the rest did not exist.
type cutBody struct {
	io.Reader
	io.Closer
}

// boundedBody returns errTooLarge when it is longer than its bound.
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
