package replica

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"pullwatch/kube"
)

// Part is something that runs until ctx is done, and returns when all of it has ended.
type Part = func(ctx context.Context) error

// Run runs the replica and serve, which is the server, until ctx is done or a part fails. beside are other parts that requests
// need. Run returns when all parts have ended, with the errors of all. They stop in this order:
//
//  1. Readiness. A load balancer must not send requests to a server that accepts none.
//  2. The server and the leader, at the same time. Requests may take as long as the server's DrainTimeout. If the leader kept
//     the Lease for that long, no queued pull would start on any replica.
//  3. What requests and the leader need: the lists, the watch, the shared log in Redis. Without these the last requests would
//     get errors, and subscribers would miss how their pulls end. The leader resigns through the shared log. Without that, the
//     other replicas notice only at their next try for the Lease, about 2 s later.
func (r *Replica) Run(ctx context.Context, serve Part, beside ...Part) error {
	needed := append([]Part{r.Lists.Run, r.watch.Run, r.copiers.Run}, beside...)
	if r.stream == nil {
		defer r.watch.Demand()()
	} else {
		standIn := func(ctx context.Context) error { return kube.StandIn(ctx, r.watch, r.stream) }
		needed = append(needed, r.stream.Run, standIn)
	}
	ready := func(ctx context.Context) error { return r.ready.run(ctx, r.Hub, r.Lists) }
	return run(ctx, []Part{ready}, []Part{serve, r.leader.Run}, needed)
}

// run runs all parts until ctx is done or one of them returns. Then it stops them phase by phase: it stops the next phase when all
// parts of the one before have ended. It returns the errors of all parts.
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
