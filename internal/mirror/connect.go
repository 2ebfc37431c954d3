package mirror

import (
	"context"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

const userAgent = "pullwatch"

// connect makes the clients of both registries. The function that it returns closes their connections.
func (c *copier) connect(ctx context.Context, base *http.Transport, opts Options) (disconnect func(), err error) {
	var fromLogins, toLogins []login
	source, destination := c.source.Context(), c.destination.repository
	if c.sourceSide, fromLogins, err = newSide(pull.SourceSide, c.source.Name(), source); err != nil {
		return nil, err
	}
	if c.destinationSide, toLogins, err = newSide(pull.DestinationSide, destination.Name(), destination); err != nil {
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
		_, err := newClient(from, source, credentials, source.Scope(transport.PullScope)).manifestDigest(ctx, c.source.Identifier())
		return err
	})
	writer := chooseLogin(toLogins, func(credentials authn.Authenticator) error {
		return newClient(to, destination, credentials, destination.Scope(transport.PushScope)).tryPush(ctx)
	})
	c.sourceSide.login, c.destinationSide.login = reader.key, writer.key

	c.from = newClient(from, source, reader.credentials, source.Scope(transport.PullScope))
	c.to = newClient(to, destination, writer.credentials, destination.Scope(transport.PushScope))
	if source.Registry == destination.Registry && source != destination {
		c.mounter = newClient(to, destination, writer.credentials, destination.Scope(transport.PushScope), source.Scope(transport.PullScope))
	}
	return disconnect, nil
}
