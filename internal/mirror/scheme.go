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

// errUndecided is returned for a request over plain HTTP while it is not known whether the registry has TLS. The registry library
// sends such a request when a registry is slow, on the local host, or in a private network.
var errUndecided = errors.New("plain HTTP is not tried before TLS")

// schemeOf finds out whether an insecure registry has TLS, and then keeps to that. It tries TLS first. It uses plain HTTP only if
// nothing listens there for TLS, or if what listens does not speak TLS. Silence does not count: somebody on the way may have
// caused it.
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

// roundTrip sends a request to the registry in the known scheme. The first request has no body: it is the registry library's ping.
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

// lacksTLS reports whether a connection failed as it does where there is no TLS. So does a proxy that refuses to open a tunnel to
// the registry. A proxy that fails, or that wants a login of its own, says nothing about the registry.
func lacksTLS(err error) bool {
	if refused, ok := errors.AsType[*proxyError](err); ok {
		return refused.status >= http.StatusBadRequest && refused.status < http.StatusInternalServerError &&
			refused.status != http.StatusProxyAuthRequired && refused.status != http.StatusRequestTimeout
	}
	return isA[tls.RecordHeaderError](err) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
