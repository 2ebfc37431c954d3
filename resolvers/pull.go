package resolvers

import (
	"context"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/serve/graphqlhttp"
	"pullwatch/internal/usererr"
)

// require makes the next queries on this replica show the state that a mutation led to.
func (r *Resolver) require(state *pull.State) *pull.State {
	if state != nil {
		r.Lists.Require(state.Revision.Cluster)
	}
	return state
}

// find returns a pull; nil when there is none.
func (r *Resolver) find(ctx context.Context, id string) (*pull.State, error) {
	if err := r.Updates.AwaitSync(ctx); err != nil {
		return nil, err
	}
	if state := r.Updates.Latest(id); state != nil {
		return state, nil
	}
	return r.Pulls.Find(ctx, id)
}

// resumeAfter returns behind what a subscription goes on: after is what its operation says, which a browser that comes back
// by itself cannot change.
func resumeAfter(ctx context.Context, after *string) *string {
	if id := graphqlhttp.LastEventID(ctx); id != "" {
		return &id
	}
	return after
}

// subscribe opens a subscription to the pulls in ids, or to all if ids is nil. It goes on behind the revision after, if there is one.
// phases and history are those of feed.Subscription.Filter.
func (r *Resolver) subscribe(ctx context.Context, ids []string, after *string, phases []pull.Phase, history bool) (*feed.Subscription, error) {
	if phases != nil && len(phases) == 0 {
		return nil, usererr.New(usererr.BadInput, "phases is empty, so that nothing would come; leave it out for all phases")
	}
	if len(ids) > maxFollowed {
		return nil, usererr.New(usererr.LimitExceeded,
			"ids holds %d pulls; a subscription takes %d, or all pulls when ids is left out", len(ids), maxFollowed)
	}
	var from pull.Position
	if after != nil {
		var err error
		if from, err = pull.ParsePosition(*after); err != nil {
			return nil, err
		}
	}
	// A client that reconnects while the server starts must not get NOT_FOUND for its pulls.
	if err := r.Updates.AwaitSync(ctx); err != nil {
		return nil, err
	}
	r.Updates.Await(ctx, from)
	for _, id := range ids {
		// Another replica may have started the pull a moment ago. If nobody knows it, Subscribe returns the error.
		if state, err := r.find(ctx, id); err != nil || state == nil {
			if err != nil {
				return nil, err
			}
			break
		}
	}
	updates, err := r.Updates.Subscribe(ids, from)
	if err != nil {
		return nil, err
	}
	updates.Filter(phases, history)
	return updates, nil
}
