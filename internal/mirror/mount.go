package mirror

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// mountTimeout is how long a registry may take to mount a blob, which moves no bytes.
const mountTimeout = 20 * time.Second

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
