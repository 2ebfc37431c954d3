package replica

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"pullwatch/kube"
)

// Part is something that runs until ctx is done, and returns when all of it has ended.
type Part = func(ctx context.Context) error

// Run runs the replica, and serve, which serves what it answers, until ctx is done or one of the parts fails. Then all of
// it stops, in the order below: each line when the line before has ended. beside are other parts that requests need.
func (r *Replica) Run(ctx context.Context, serve Part, beside ...Part) error {
	work := append([]Part{r.watch.Run, r.copiers.Run, r.Lists.Run}, beside...)
	var shared []Part
	if r.stream == nil {
		defer r.watch.Demand()()
	} else {
		work = append(work, func(ctx context.Context) error { return kube.StandIn(ctx, r.watch, r.stream) })
		shared = append(shared, r.stream.Run)
	}
	return run(
		ctx,
		// Readiness goes first. Otherwise a load balancer sends requests to a server that refuses them.
		[]Part{func(ctx context.Context) error { return r.ready.run(ctx, r.Hub, r.Lists) }},
		// The server and the leader stop together. If the Lease were kept until the last request is answered, no queued
		// pull would start anywhere meanwhile.
		[]Part{serve, r.leader.Run},
		// What requests need outlasts the server. Otherwise its last answers are stale lists, or errors, and the last
		// pulls that it starts are not told to those who watch. The leader's work needs the watch, too.
		work,
		// The log in Redis outlasts the leader, whose last word goes through it: without that, the other replicas only
		// find a new leader when the Lease's next try is due. It also outlasts the watch, which tells through it.
		shared,
	)
}

// run runs all parts until ctx is done or one of them returns. Then it stops them, the parts of each phase together, and
// waits for all of them before it stops the next phase. It returns all their errors.
func run(ctx context.Context, phases ...[]Part) error {
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	groups := make([]errgroup.Group, len(phases))
	ends := make([]context.CancelFunc, len(phases))
	for i, parts := range phases {
		running, end := context.WithCancel(context.WithoutCancel(ctx))
		ends[i] = end
		for _, part := range parts {
			groups[i].Go(func() error {
				defer stop()
				return part(running)
			})
		}
	}
	<-stopping.Done()
	var errs []error
	for i := range phases {
		ends[i]()
		errs = append(errs, groups[i].Wait())
	}
	return errors.Join(errs...)
}
