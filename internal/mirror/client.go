package mirror

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// client speaks the distribution protocol with one repository, on the registry library's transport. The library's own
// client knows neither ranges nor uploads that go on where they broke off. All methods may be called at the same time.
type client struct {
	repository name.Repository
	// base is what all requests, those of the login too, go through.
	base        http.RoundTripper
	ping        *pinged
	credentials authn.Authenticator
	// scopes are what a token is asked for.
	scopes []string

	// lock guards loggedIn. Its one element is there while it is held, so that waiting for it can end with a context.
	lock     chan struct{}
	loggedIn *session
	// read and wrote are true once the registry has granted a request that reads, or one that writes.
	read, wrote atomic.Bool
}

func newClient(base http.RoundTripper, repository name.Repository, credentials authn.Authenticator, scopes ...string) *client {
	ping := &pinged{base: rewinder{base}}
	return &client{repository: repository, base: transport.NewUserAgent(ping, userAgent), ping: ping, credentials: credentials,
		scopes: scopes, lock: make(chan struct{}, 1)}
}

// session is an HTTP client that carries the registry's login.
type session struct {
	http.Client
	// challenged is true if the registry had named a token server before the session was made.
	challenged bool
}

// login returns the session, which is made once.
func (r *client) login(ctx context.Context) (*session, error) {
	select {
	case r.lock <- struct{}{}:
		defer func() { <-r.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.loggedIn != nil {
		return r.loggedIn, nil
	}
	authorized, err := transport.NewWithContext(ctx, r.repository.Registry, r.credentials, r.base, r.scopes)
	if err != nil {
		return nil, err
	}
	r.loggedIn = &session{http.Client{Transport: authorized}, r.ping.challenge.Load() != nil}
	return r.loggedIn, nil
}

// logout makes the next request log in anew. It does nothing if another session than used has been made meanwhile.
func (r *client) logout(ctx context.Context, used *session) {
	select {
	case r.lock <- struct{}{}:
		if r.loggedIn == used {
			r.loggedIn = nil
		}
		<-r.lock
	case <-ctx.Done():
	}
}

// lapsedError is a refusal of a login that was good for such a request before.
type lapsedError struct{ err error }

func (e *lapsedError) Error() string { return e.err.Error() }
func (e *lapsedError) Unwrap() error { return e.err }

// redirectError is returned when a redirect with 301, 302 or 303 has turned a request that writes into one that reads.
type redirectError struct{ method, became string }

func (e *redirectError) Error() string {
	return fmt.Sprintf("it redirects a %s so that it becomes a %s", e.method, e.became)
}

// send returns the response to a request if it has one of the granted statuses, else an error. Close its body. After the first
// refusal that names a token server, send sends the request again with a token.
func (r *client) send(req *http.Request, granted ...int) (*http.Response, error) {
	ctx := req.Context()
	session, err := r.login(ctx)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	if req.Header.Get("Accept-Encoding") == "" {
		// Bytes as they are: else the HTTP client would have them compressed on their way, or undo compression that is
		// the blob's own.
		req.Header.Set("Accept-Encoding", "identity")
	}
	resp, err := session.Do(req)
	if err != nil {
		return nil, err
	}
	if !session.challenged && r.isOwn(resp.Request) && r.ping.learn(resp) {
		_ = resp.Body.Close()
		r.logout(ctx, session)
		return r.send(req, granted...)
	}
	if resp.Request.Method != req.Method {
		// The host that answers has not got the body.
		_ = resp.Body.Close()
		return nil, &redirectError{req.Method, resp.Request.Method}
	}
	before := &r.wrote
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		before = &r.read
	}
	if err := transport.CheckError(resp, granted...); err != nil {
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized && before.Load() {
			r.logout(ctx, session)
			err = &lapsedError{err}
		}
		return nil, err
	}
	before.Store(true)
	return resp, nil
}

// isOwn reports whether a request went to the registry itself, and not to where it redirects or sends uploads.
func (r *client) isOwn(req *http.Request) bool {
	return req.Response == nil && strings.EqualFold(req.URL.Host, r.repository.RegistryStr())
}

// url returns the address of something in the repository.
func (r *client) url(path string) *url.URL {
	return &url.URL{Scheme: r.repository.Scheme(), Host: r.repository.RegistryStr(),
		Path: "/v2/" + r.repository.RepositoryStr() + "/" + path}
}

func newRequest(ctx context.Context, method string, u *url.URL) *http.Request {
	req := &http.Request{Method: method, URL: u, Host: u.Host, Header: make(http.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	return req.WithContext(ctx)
}

// acceptedManifests are all kinds of manifests, also those that the copier refuses later, with a message for people.
var acceptedManifests = strings.Join([]string{
	string(types.OCIImageIndex), string(types.DockerManifestList), string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
	string(types.DockerManifestSchema1Signed), string(types.DockerManifestSchema1),
}, ",")

// manifest returns a manifest's bytes and the type that the registry serves it as. The identifier is a tag or a digest.
func (r *client) manifest(ctx context.Context, identifier string) (raw []byte, contentType string, err error) {
	req := newRequest(ctx, http.MethodGet, r.url("manifests/"+identifier))
	req.Header.Set("Accept", acceptedManifests)
	resp, err := r.send(req, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body) // bounded by guard
	return raw, resp.Header.Get("Content-Type"), err
}

// manifestDigest returns the digest that the registry says a manifest has, empty when it does not say.
func (r *client) manifestDigest(ctx context.Context, identifier string) (string, error) {
	req := newRequest(ctx, http.MethodHead, r.url("manifests/"+identifier))
	req.Header.Set("Accept", acceptedManifests)
	resp, err := r.send(req, http.StatusOK)
	if err != nil {
		return "", err
	}
	return resp.Header.Get("Docker-Content-Digest"), resp.Body.Close()
}

// putManifest stores a manifest. It returns whether the registry has linked it to its subject, if it has one.
func (r *client) putManifest(ctx context.Context, identifier string, m *manifest) (linked bool, err error) {
	req := newRequest(withPatience(ctx, int64(len(m.raw))), http.MethodPut, r.url("manifests/"+identifier))
	req.Header.Set("Content-Type", string(m.mediaType))
	if err := setBody(req, int64(len(m.raw)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(m.raw)), nil
	}); err != nil {
		return false, err
	}
	resp, err := r.send(req, http.StatusCreated, http.StatusOK, http.StatusAccepted, http.StatusNoContent)
	if err != nil {
		return false, err
	}
	return resp.Header.Get("OCI-Subject") != "", resp.Body.Close()
}

// rewinder sends a request's body from its beginning when the same request comes again. The library repeats a request that was
// refused for its token with what is left of the body, which is nothing.
type rewinder struct{ base http.RoundTripper }

func (r rewinder) RoundTrip(req *http.Request) (*http.Response, error) {
	if body, ok := req.Body.(*freshBody); ok && body.used.Swap(true) && req.GetBody != nil {
		again, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req = req.WithContext(req.Context())
		req.Body = again
		if fresh, ok := again.(*freshBody); ok {
			fresh.used.Store(true)
		}
	}
	return r.base.RoundTrip(req)
}

// freshBody is a request's body that knows whether it was sent already.
type freshBody struct {
	io.ReadCloser
	used atomic.Bool
}

// setBody gives a request a body of a length above zero, which open returns from its beginning each time.
func setBody(req *http.Request, length int64, open func() (io.ReadCloser, error)) error {
	req.GetBody = func() (io.ReadCloser, error) {
		body, err := open()
		if err != nil {
			return nil, err
		}
		return &freshBody{ReadCloser: body}, nil
	}
	var err error
	req.Body, err = req.GetBody()
	req.ContentLength = length
	return err
}
