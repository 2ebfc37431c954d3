package mirror

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"syscall"
)

// plainHTTPError is returned for a request that would go over plain HTTP without permission.
type plainHTTPError struct{ host string }

func (e *plainHTTPError) Error() string {
	return fmt.Sprintf("plain HTTP to %s is not allowed; --insecure-registry=%s would allow it", e.host, e.host)
}

// errUndecided is returned for a request over plain HTTP while it is not known whether the registry has TLS. The registry
// library sends one when a registry is slow, on the local host and in private networks.
var errUndecided = errors.New("plain HTTP is not tried before TLS")

// schemeOf finds out what an insecure registry speaks, and then speaks that. TLS is tried first. Plain HTTP is spoken
// only where nobody listens for TLS, or where who listens does not speak it: one that is silent may have been silenced.
type schemeOf struct {
	mu sync.Mutex
	// known is empty until the registry has answered.
	known string
}

func (s *schemeOf) get() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

func (s *schemeOf) set(scheme string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = scheme
}

// roundTrip sends a request to the registry, in the scheme that is known. The first one has no body: the registry library asks who is there.
func (s *schemeOf) roundTrip(transport *http.Transport, req *http.Request) (*http.Response, error) {
	if s.get() != "" {
		return watchedRoundTrip(transport, req)
	}
	if req.URL.Scheme != "https" {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errUndecided
	}
	var spoken atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { spoken.Store(err == nil) },
	})
	resp, err := watchedRoundTrip(transport, req.WithContext(ctx))
	switch {
	case err == nil:
		s.set("https")
	case !spoken.Load() && lacksTLS(err) && req.Body == nil:
		plain := req.Clone(req.Context())
		plain.URL.Scheme = "http"
		if resp, err = watchedRoundTrip(transport, plain); err == nil {
			s.set("http")
		}
	}
	return resp, err
}

// lacksTLS reports whether a connection failed as it does where there is no TLS. A proxy says so that does not open
// tunnels to there, as a rule. One that fails, or does not let the copier in, says nothing about the registry.
func lacksTLS(err error) bool {
	if refused, ok := errors.AsType[*proxyError](err); ok {
		return refused.status >= http.StatusBadRequest && refused.status < http.StatusInternalServerError &&
			refused.status != http.StatusProxyAuthRequired && refused.status != http.StatusRequestTimeout
	}
	return isA[tls.RecordHeaderError](err) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
