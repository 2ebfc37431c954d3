package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// mountTimeout is how long a registry may take to mount a blob, which moves no bytes.
const mountTimeout = 20 * time.Second

// mounter has the destination registry mount blobs from one of its repositories into another. Nothing depends on it:
// what it does not mount is copied. It has a client of its own, because the token for it has one scope more, which may
// be denied.
type mounter struct {
	guard       *guard
	from, to    name.Repository
	credentials authn.Authenticator

	// over is set when what kept the registry from one mount would keep it from all.
	over   atomic.Bool
	mu     sync.Mutex
	client *http.Client
}

func newMounter(g *guard, from, to name.Repository, credentials authn.Authenticator) *mounter {
	return &mounter{guard: g, from: from, to: to, credentials: credentials}
}

// mount reports whether the registry says that it has mounted the blob. A nil mounter mounts nothing.
func (m *mounter) mount(ctx context.Context, blob v1.Hash) bool {
	if m == nil || m.over.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, mountTimeout)
	defer cancel()
	mounted, err := m.try(ctx, blob)
	answer, answered := errors.AsType[*transport.Error](err)
	if !mounted && (err == nil || ctx.Err() != nil || (answered && answer.StatusCode < http.StatusInternalServerError)) {
		m.over.Store(true)
	}
	return mounted
}

func (m *mounter) try(ctx context.Context, blob v1.Hash) (mounted bool, err error) {
	client, err := m.connect(ctx)
	if err != nil {
		return false, err
	}
	return startUpload(ctx, client, m.to, url.Values{"mount": {blob.String()}, "from": {m.from.RepositoryStr()}})
}

func (m *mounter) connect(ctx context.Context) (*http.Client, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.client == nil {
		client, err := newHTTPClient(ctx, m.guard, m.to, m.credentials, m.to.Scope(transport.PushScope), m.from.Scope(transport.PullScope))
		if err != nil {
			return nil, err
		}
		m.client = client
	}
	return m.client, nil
}

// tryPush asks for an upload, and takes that back, to find out whether the credentials let it.
func tryPush(ctx context.Context, g *guard, to name.Repository, credentials authn.Authenticator) error {
	client, err := newHTTPClient(ctx, g, to, credentials, to.Scope(transport.PushScope))
	if err == nil {
		_, err = startUpload(ctx, client, to, nil)
	}
	return err
}

func newHTTPClient(ctx context.Context, g *guard, repository name.Repository, credentials authn.Authenticator, scopes ...string) (*http.Client, error) {
	rt, err := transport.NewWithContext(ctx, repository.Registry, credentials, transport.NewUserAgent(g, userAgent), scopes)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: rt}, nil
}

// startUpload asks for an upload, or for a mount instead, and reports whether the blob is there without one. If not, it
// takes the upload back.
func startUpload(ctx context.Context, client *http.Client, to name.Repository, query url.Values) (mounted bool, err error) {
	address := url.URL{Scheme: to.Scheme(), Host: to.RegistryStr(), RawQuery: query.Encode(),
		Path: fmt.Sprintf("/v2/%s/blobs/uploads/", to.RepositoryStr())}
	resp, err := send(ctx, client, http.MethodPost, address.String())
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusCreated, http.StatusAccepted); err != nil {
		return false, err
	}
	if resp.StatusCode == http.StatusCreated {
		return true, nil
	}
	// Registries forget uploads by themselves, but some only after days.
	if location, err := resp.Location(); err == nil {
		if resp, err := send(ctx, client, http.MethodDelete, location.String()); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxToken))
			resp.Body.Close()
		}
	}
	return false, nil
}

func send(ctx context.Context, client *http.Client, method, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}
