package mirror

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"pullwatch/internal/pull"
)

// parallel is how many blobs are sent, or manifests read, at the same time.
const parallel = 4

// copier is one copy from one source to one destination.
type copier struct {
	source      name.Reference
	destination target
	// platforms are those that are copied, nil for all.
	platforms []string
	// sourceSide and destinationSide are what errors are blamed on.
	sourceSide, destinationSide side
	// from reads the source, to reads and writes the destination.
	from, to *client
	// mounter may read the source's repository, too; nil when that is in another registry.
	mounter *client
	// noMount is set once a mount has failed: the others would, too.
	noMount atomic.Bool
	meter   *meter
	// piece is how many bytes one request to the destination may have, as its refusals have shown; zero for any number.
	piece atomic.Int64

	mu sync.Mutex
	// linker puts manifests with a subject into a registry that does not link them by itself; nil until it is needed.
	linker *remote.Pusher
	// left are the foreign layers that the source does not have, found the blobs that the destination said it has.
	left, found []v1.Descriptor
	// distrust is set when the destination does not have what it said it has.
	distrust atomic.Bool
}

// copyImage copies as opts say, speaking through transports like base. The outcome's byte counts are set when it fails,
// too. classify makes a failure of the error.
func copyImage(ctx context.Context, opts Options, base *http.Transport, meter *meter) (pull.Outcome, error) {
	source, err := parseReference(opts.Source)
	if err != nil {
		return pull.Outcome{}, err
	}
	destination, err := parseTarget(opts.Destination)
	if err != nil {
		return pull.Outcome{}, err
	}
	platforms, err := pull.ParsePlatforms(opts.Platforms)
	if err != nil {
		return pull.Outcome{}, &failure{reason: pull.Invalid, permanent: true, message: sentence(err.Error())}
	}
	c := &copier{source: source, destination: destination, platforms: platforms, meter: meter}
	disconnect, err := c.connect(ctx, base, opts)
	if err != nil {
		return pull.Outcome{}, err
	}
	defer disconnect()

	stop := meter.start(ctx)
	defer stop()
	digest, unconfirmed, err := c.run(ctx)
	if err != nil && ctx.Err() != nil {
		// Whatever broke first when everything was told to stop says nothing about the registries.
		err = ctx.Err()
	}
	outcome := meter.outcome()
	if err == nil {
		outcome.Digest, outcome.Unconfirmed = digest.String(), unconfirmed
		outcome.Left = leftOf(c.left)
	}
	return outcome, err
}

// run copies, and returns the digest of what was copied. The text says why that could not be read back, if so.
func (c *copier) run(ctx context.Context) (digest v1.Hash, unconfirmed string, err error) {
	c.meter.status("Reading manifests of " + c.sourceSide.image)
	tree, err := c.readTree(ctx)
	if err != nil {
		return v1.Hash{}, "", err
	}
	if err := c.destination.accepts(tree.root); err != nil {
		return v1.Hash{}, "", err
	}
	blobs, err := tree.blobs()
	if err != nil {
		return v1.Hash{}, "", c.fromSource(err)
	}
	ref := c.destination.reference(tree.root)
	shown, other := c.shows(ctx, ref, tree.root)
	if other != "" && c.destination.tag != "" {
		c.meter.holds(other)
	}
	c.meter.expect(blobs)
	if err := c.copyBlobs(ctx, blobs); err != nil {
		return v1.Hash{}, "", err
	}
	if !shown {
		c.meter.status("Writing manifests to " + c.destinationSide.image)
	}
	if err := c.writeManifests(ctx, tree, ref, shown); err != nil {
		return v1.Hash{}, "", err
	}
	c.meter.status("Reading back " + familiar(ref.Name()))
	unconfirmed, err = c.readBack(ctx, ref, tree.root)
	return tree.root.digest, unconfirmed, err
}

// copyBlobs sends the smallest blob first and alone: when the destination is away or refuses, one small request finds
// out, and not four large ones. Then the largest go first, so that no big one is left to be sent alone in the end.
// When one fails for a passing reason, those under way are sent to their ends, so that the next attempt need not send them.
func (c *copier) copyBlobs(ctx context.Context, blobs []v1.Descriptor) error {
	if len(blobs) == 0 {
		return nil
	}
	slices.SortFunc(blobs, func(a, b v1.Descriptor) int { return cmp.Compare(b.Size, a.Size) })
	larger, smallest := blobs[:len(blobs)-1], blobs[len(blobs)-1]
	if err := c.copyBlob(ctx, smallest); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed atomic.Bool
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, blob := range larger {
		if failed.Load() {
			break
		}
		group.Go(func() error {
			err := c.copyBlob(ctx, blob)
			if err != nil {
				failed.Store(true)
				if classify(err).permanent {
					cancel()
				}
			}
			return err
		})
	}
	return group.Wait()
}

// writeManifests puts the manifests. If the destination then misses blobs that it said it has, it sends those after all.
func (c *copier) writeManifests(ctx context.Context, tree *tree, ref name.Reference, shown bool) error {
	err := c.putManifests(ctx, tree, ref, shown)
	if !missesBlobs(err) {
		return err
	}
	if len(c.found) > 0 {
		c.meter.status("Sending what the destination said it has, but misses")
		c.distrust.Store(true)
		if err := c.copyBlobs(ctx, c.found); err != nil {
			return err
		}
		if err = c.putManifests(ctx, tree, ref, shown); !missesBlobs(err) {
			return err
		}
	}
	if left := leftOf(c.left); left != nil {
		return &failure{reason: pull.Invalid, permanent: true,
			message: pull.Truncate(classify(err).message+" ("+left.String()+")", pull.MaxFailureMessage)}
	}
	return err
}

// missesBlobs reports whether a registry refuses a manifest for blobs that it refers to.
func missesBlobs(err error) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool {
		return d.Code == transport.ManifestBlobUnknownErrorCode || d.Code == transport.BlobUnknownErrorCode
	})
}

// putManifests puts the manifests that the destination lacks, each after all that it refers to. It puts the root as ref unless ref
// shows it already. Where the root is, its children need not be: a registry can lose them.
func (c *copier) putManifests(ctx context.Context, tree *tree, ref name.Reference, shown bool) error {
	levels := tree.byHeight()
	for _, level := range levels[:len(levels)-1] {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for _, m := range level {
			group.Go(func() error {
				ref := c.destination.repository.Digest(m.digest.String())
				if shown, _ := c.shows(ctx, ref, m); shown {
					return nil
				}
				return c.put(ctx, ref, m)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	if shown {
		return nil
	}
	return c.put(ctx, ref, tree.root)
}

func (c *copier) put(ctx context.Context, ref name.Reference, m *manifest) error {
	what := "manifest " + m.digest.String()
	return c.retry(ctx, what, func() error {
		linked, err := c.to.putManifest(ctx, ref.Identifier(), m)
		if err == nil && m.hasSubject && !linked {
			err = c.link(ctx, ref, m)
		}
		if err != nil {
			return c.fromDestination(&partError{what, err})
		}
		c.meter.wroteManifest()
		return nil
	})
}

// link lets the registry library keep the list of the manifests that belong to another one, where the registry does not. The
// library's own retries are off: they ignore cancellation and Retry-After.
func (c *copier) link(ctx context.Context, ref name.Reference, m *manifest) error {
	session, err := c.to.login(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.linker == nil {
		c.linker, err = remote.NewPusher(remote.WithTransport(session.Transport), remote.WithJobs(parallel),
			remote.WithRetryPredicate(func(error) bool { return false }), remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
	}
	linker := c.linker
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return linker.Put(ctx, ref, m)
}

func (c *copier) fromSource(err error) error      { return c.sourceSide.blame(err) }
func (c *copier) fromDestination(err error) error { return c.destinationSide.blame(err) }
