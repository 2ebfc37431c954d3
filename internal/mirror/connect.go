package mirror

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const userAgent = "pullwatch"

// connect makes the clients of both registries. The function that it returns closes their connections.
func (c *copier) connect(ctx context.Context, base *http.Transport, opts Options) (disconnect func(), err error) {
	var fromLogins, toLogins []login
	source, destination := c.source.Context(), c.destination.repository
	if c.sourceSide, fromLogins, err = newSide("source", c.source.Name(), source); err != nil {
		return nil, err
	}
	if c.destinationSide, toLogins, err = newSide("destination", destination.Name(), destination); err != nil {
		return nil, err
	}
	authorities, err := readAuthorities(opts.Authorities)
	if err != nil {
		return nil, err
	}
	from := newGuard(base, source.RegistryStr(), authorities, opts)
	to := newGuard(base, destination.RegistryStr(), authorities, opts)
	disconnect = func() { from.close(); to.close() }
	// Rate limits count each GET of a manifest.
	reader := chooseLogin(fromLogins, func(credentials authn.Authenticator) error {
		_, err := remote.Head(c.source, append(clientOptions(from, credentials), remote.WithContext(ctx))...)
		return err
	})
	writer := chooseLogin(toLogins, func(credentials authn.Authenticator) error { return tryPush(ctx, to, destination, credentials) })
	c.sourceSide.login, c.destinationSide.login = reader.key, writer.key

	c.from = newClient(from, source, reader.credentials, source.Scope(transport.PullScope))
	c.to = newClient(to, destination, writer.credentials, destination.Scope(transport.PushScope))
	if source.Registry == destination.Registry && source != destination {
		c.mounter = newClient(to, destination, writer.credentials, destination.Scope(transport.PushScope), source.Scope(transport.PullScope))
	}
	if c.linker, err = remote.NewPusher(clientOptions(to, writer.credentials)...); err != nil {
		disconnect()
		return nil, fmt.Errorf("set up registry clients: %w", err)
	}
	return disconnect, nil
}

// clientOptions turn the clients' own retries off: they sleep through a cancellation, and neither a person nor
// Retry-After has a say in them.
func clientOptions(rt http.RoundTripper, credentials authn.Authenticator) []remote.Option {
	return []remote.Option{
		remote.WithTransport(rt),
		remote.WithAuth(credentials),
		remote.WithUserAgent(userAgent),
		remote.WithJobs(parallel),
		remote.WithRetryStatusCodes(),
		remote.WithRetryPredicate(func(error) bool { return false }),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}),
	}
}
