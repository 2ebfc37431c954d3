package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"pullwatch/pull"
)

// parallel is how many blobs are sent, or manifests read, at the same time.
const parallel = 4

// copier is one copy from one source to one destination.
type copier struct {
	source      name.Reference
	destination target
	// sourceSide and destinationSide are what errors are blamed on.
	sourceSide, destinationSide side
	// puller reads the source; checker asks the destination what it has.
	puller, checker *remote.Puller
	pusher          *remote.Pusher
	// mounter is nil unless both sides are the same registry.
	mounter *mounter
	meter   *meter
}

// copyImage copies as opts say, speaking through transports like base. The outcome's byte counts are set when it fails,
// too; the error is then to be looked at with classify.
func copyImage(ctx context.Context, opts Options, base *http.Transport, meter *meter) (pull.Outcome, error) {
	source, err := parseReference(opts.Source)
	if err != nil {
		return pull.Outcome{}, err
	}
	destination, err := parseTarget(opts.Destination)
	if err != nil {
		return pull.Outcome{}, err
	}
	c := &copier{source: source, destination: destination, meter: meter}
	disconnect, err := c.connect(ctx, base, opts)
	if err != nil {
		return pull.Outcome{}, err
	}
	defer disconnect()

	stop := meter.start(ctx)
	defer stop()
	digest, err := c.run(ctx)
	if err != nil && ctx.Err() != nil {
		// Whatever broke first when everything was told to stop says nothing about the registries.
		err = ctx.Err()
	}
	outcome := meter.outcome()
	if err == nil {
		outcome.Digest = digest.String()
	}
	return outcome, err
}

func (c *copier) run(ctx context.Context) (v1.Hash, error) {
	c.meter.status("Reading manifests of " + c.sourceSide.image)
	tree, err := c.readTree(ctx)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := c.destination.accepts(tree.root); err != nil {
		return v1.Hash{}, err
	}
	blobs, err := tree.blobs()
	if err != nil {
		return v1.Hash{}, c.fromSource(err)
	}
	c.meter.expect(blobs)
	ref := c.destination.reference(tree.root)
	complete, err := c.has(ctx, ref, tree.root)
	if err != nil {
		return v1.Hash{}, err
	}
	if err := c.copyBlobs(ctx, blobs); err != nil {
		return v1.Hash{}, err
	}
	if !complete {
		if err := c.putManifests(ctx, tree, ref); err != nil {
			return v1.Hash{}, err
		}
	}
	return c.verify(ctx, ref, tree.root)
}

// copyBlobs sends the smallest blob first and alone: when the destination is away or refuses, one small request finds
// out, and not four large ones. Then the largest go first, so that no big one is left to be sent alone in the end.
func (c *copier) copyBlobs(ctx context.Context, blobs []v1.Descriptor) error {
	if len(blobs) == 0 {
		return nil
	}
	slices.SortFunc(blobs, func(a, b v1.Descriptor) int { return cmp.Compare(b.Size, a.Size) })
	larger, smallest := blobs[:len(blobs)-1], blobs[len(blobs)-1]
	if err := c.copyBlob(ctx, smallest); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, blob := range larger {
		group.Go(func() error { return c.copyBlob(ctx, blob) })
	}
	return group.Wait()
}

func (c *copier) copyBlob(ctx context.Context, desc v1.Descriptor) error {
	sent := false
	c.mounter.mount(ctx, desc.Digest) // what it mounts is found to be there
	err := c.retry(ctx, "blob "+desc.Digest.String(), func() error {
		source := &sourceBlob{desc: desc, meter: c.meter, open: c.opener(ctx, desc)}
		layer, err := partial.CompressedToLayer(source)
		if err != nil {
			return err
		}
		err = c.pusher.Upload(ctx, c.destination.repository, layer)
		sent = sent || source.opened()
		if err != nil {
			// When reading breaks, writing does too; only the former is the reason.
			if broken := source.failure(); broken != nil {
				return c.fromSource(broken)
			}
			return c.fromDestination(err)
		}
		return nil
	})
	if err == nil {
		c.meter.finish(desc, sent)
	}
	return err
}

// putManifests puts what the destination lacks, each manifest behind all that it refers to, and the root as ref.
func (c *copier) putManifests(ctx context.Context, tree *tree, ref name.Reference) error {
	levels := tree.byHeight()
	for _, level := range levels[:len(levels)-1] {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for _, m := range level {
			group.Go(func() error {
				ref := c.destination.repository.Digest(m.digest.String())
				if there, err := c.has(ctx, ref, m); there || err != nil {
					return err
				}
				return c.put(ctx, ref, m)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return c.put(ctx, ref, tree.root)
}

func (c *copier) put(ctx context.Context, ref name.Reference, m *manifest) error {
	return c.retry(ctx, "manifest "+ref.Identifier(), func() error {
		return c.fromDestination(c.pusher.Put(ctx, ref, m))
	})
}

// has reports whether the destination shows the manifest as ref.
func (c *copier) has(ctx context.Context, ref name.Reference, m *manifest) (there bool, err error) {
	err = c.retry(ctx, "check of "+ref.Identifier(), func() error {
		desc, err := c.checker.Head(ctx, ref)
		if answer, ok := errors.AsType[*transport.Error](err); ok && !answer.Temporary() {
			// Registries say "not there" in many ways, and may refuse to tell: only writing shows what is allowed.
			return nil
		}
		there = err == nil && m.is(desc.Digest)
		return c.fromDestination(err)
	})
	return there, err
}

// verify returns the digest that the destination now shows as ref, which must be the root's.
func (c *copier) verify(ctx context.Context, ref name.Reference, root *manifest) (v1.Hash, error) {
	var there v1.Hash
	err := c.retry(ctx, "verification of "+ref.Identifier(), func() error {
		desc, err := c.checker.Head(ctx, ref)
		if err != nil {
			return c.fromDestination(err)
		}
		there = desc.Digest
		return nil
	})
	if err == nil && !root.is(there) {
		err = c.fromDestination(fmt.Errorf("it shows %s as %s, but %s was copied", there, ref.Name(), root.digest))
	}
	return there, err
}

func (c *copier) fromSource(err error) error      { return c.sourceSide.blame(err) }
func (c *copier) fromDestination(err error) error { return c.destinationSide.blame(err) }
