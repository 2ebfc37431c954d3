package mirror

import (
	"net/http"
	"regexp"
	"slices"
	"sync/atomic"
)

// pinged is the transport through which the registry library logs in. The library begins with a ping, GET /v2/, to find out which
// login the registry wants. Proxies and web servers in front of registries answer a ping with anything. So no answer to it is
// a failure. Without a challenge the copy goes on without a token, and the first request that the registry refuses brings the
// challenge.
type pinged struct {
	base http.RoundTripper
	// challenge is nil while the registry has named no token server.
	challenge atomic.Pointer[challenge]
}

// challenge is how a registry names a token server: its WWW-Authenticate headers, and the request that it refused so.
type challenge struct {
	headers []string
	refused *http.Request
}

// maxPingRedirects is how many redirects of a ping are followed.
const maxPingRedirects = 5

// RoundTrip implements http.RoundTripper.
func (p *pinged) RoundTrip(req *http.Request) (*http.Response, error) {
	if first := firstOf(req); first.Method != http.MethodGet || first.URL.Path != "/v2/" {
		return p.base.RoundTrip(req)
	}
	if c := p.challenge.Load(); c != nil {
		return pingAnswer(c.refused, http.StatusUnauthorized, http.Header{"Www-Authenticate": c.headers}), nil
	}
	resp, err := p.base.RoundTrip(req)
	switch {
	case err != nil && (req.Response == nil || req.Context().Err() != nil):
		return nil, err
	case err != nil:
		return pingAnswer(req.Response.Request, http.StatusOK, nil), nil
	case resp.StatusCode == http.StatusUnauthorized:
		p.learn(resp)
		return resp, nil
	case resp.StatusCode == http.StatusOK, isRedirect(resp) && redirects(req) < maxPingRedirects:
		return resp, nil
	}
	_ = resp.Body.Close()
	return pingAnswer(firstOf(resp.Request), http.StatusOK, nil), nil
}

// learn keeps the challenge of a refusal, and reports whether that names a token server. A password needs no challenge to be
// sent.
func (p *pinged) learn(resp *http.Response) bool {
	headers := resp.Header.Values("Www-Authenticate")
	if resp.StatusCode != http.StatusUnauthorized || !slices.ContainsFunc(headers, bearer.MatchString) {
		return false
	}
	p.challenge.CompareAndSwap(nil, &challenge{headers, resp.Request})
	return true
}

var bearer = regexp.MustCompile(`(?i)\bbearer\s`)

func isRedirect(resp *http.Response) bool {
	return resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode < http.StatusBadRequest && resp.Header.Get("Location") != ""
}

// redirects returns how many redirects led to a request.
func redirects(req *http.Request) int {
	n := 0
	for ; req.Response != nil && req.Response.Request != nil; req = req.Response.Request {
		n++
	}
	return n
}

func pingAnswer(req *http.Request, status int, header http.Header) *http.Response {
	if header == nil {
		header = make(http.Header)
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, Request: req}
}
