package mirror

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// A registry can have the copier ask any host that the copier reaches: by a redirect, by the realm of its token server,
// by where it wants an upload sent. The registry library quotes answers in its errors. Those get into messages, which are
// read by people who may not ask that host. So an answer from elsewhere than the registry itself is kept from the library
// wherever the library could quote it.

// maxToken is how large the registry library takes a token server's answer.
const maxToken = 64 << 10

// elsewhereThan reports whether a request asks anything but the guard's registry, or follows a redirect.
func (g *guard) elsewhereThan(req *http.Request) bool {
	return req.Response != nil || !g.isRegistry(req)
}

func (g *guard) isRegistry(req *http.Request) bool {
	return strings.EqualFold(req.URL.Host, g.registry)
}

// silence keeps the status and the header of an answer from elsewhere. It keeps the body only if no error quotes it: a manifest or
// a blob, which this package and the library check without quoting it, or a token. The error says that there should have been a
// token.
func (g *guard) silence(req *http.Request, resp *http.Response) error {
	host, first := req.URL.Host, firstOf(req)
	given := resp.StatusCode == http.StatusOK ||
		(resp.StatusCode == http.StatusPartialContent && !asksForManifest(first))
	if given && g.isRegistry(first) && asksForContent(first) {
		resp.Body = &quietBody{resp.Body, host}
		return nil
	}
	body := resp.Body
	defer body.Close()
	resp.Body = http.NoBody
	if resp.StatusCode != http.StatusOK || !asksForToken(first) {
		return nil
	}
	content, err := io.ReadAll(io.LimitReader(body, maxToken+1))
	if err != nil {
		return quiet(host, err)
	}
	var token transport.Token
	if err := json.Unmarshal(content, &token); err != nil || len(content) > maxToken || (token.Token == "" && token.AccessToken == "") {
		return &tokenError{host}
	}
	resp.Body = io.NopCloser(bytes.NewReader(content))
	return nil
}

// firstOf returns the first of a chain of redirected requests: the one that the registry library made.
func firstOf(req *http.Request) *http.Request {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req
}

func asksForManifest(first *http.Request) bool {
	return first.Method == http.MethodGet && strings.Contains(first.URL.Path, "/manifests/")
}

func asksForContent(first *http.Request) bool {
	return asksForManifest(first) || (first.Method == http.MethodGet && strings.Contains(first.URL.Path, "/blobs/"))
}

// asksForToken recognizes the library's requests for tokens.
func asksForToken(first *http.Request) bool {
	return (first.Method == http.MethodGet && first.URL.Query().Has("service")) ||
		(first.Method == http.MethodPost && first.Header.Get("Content-Type") == "application/x-www-form-urlencoded")
}

// tokenError is returned for a token server that answers without a token.
type tokenError struct{ host string }

func (e *tokenError) Error() string {
	return fmt.Sprintf("the token server %s did not answer with a token", e.host)
}

// quietBody is a response's body whose errors pass quiet.
type quietBody struct {
	io.ReadCloser
	host string
}

func (b *quietBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = quiet(b.host, err)
	}
	return n, err
}

// quiet returns an error of a request to a host elsewhere if it quotes nothing that the host sent. Otherwise it returns one that
// does not quote: net/http quotes what it cannot understand, such as the greeting of a server that does not speak HTTP.
func quiet(host string, err error) error {
	switch {
	case isA[*stallError](err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		isA[*proxyError](err), isA[*net.OpError](err), isA[*net.DNSError](err), isA[syscall.Errno](err),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, http.ErrSchemeMismatch),
		isA[*tls.CertificateVerificationError](err), isA[x509.UnknownAuthorityError](err), isA[x509.HostnameError](err),
		isA[x509.CertificateInvalidError](err), isA[tls.RecordHeaderError](err), isA[tls.AlertError](err):
		return err
	}
	return &quietError{host, err}
}

type quietError struct {
	host string
	err  error
}

func (e *quietError) Error() string { return "the answer of " + e.host + " cannot be read" }
func (e *quietError) Unwrap() error { return e.err }
