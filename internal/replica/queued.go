package replica

import (
	"context"
	"sync"
	"time"

	"pullwatch/cache"
	"pullwatch/internal/pull"
	"pullwatch/resolvers"
)

// stuckAfter is how long slots may seem free while another replica starts none of the pulls that wait. A slot stays taken for some
// moments after its pull has ended.
const stuckAfter = time.Minute

// leadership is what a kube.Role knows of who leads.
type leadership interface {
	Leads() bool
	Leader() string
	Obstacle() error
}

// queueView says in the messages of queued pulls what keeps all of them waiting: nobody leads, or whoever leads starts none. That is
// not part of a state, since no change in the cluster shows it. So only answers have it, and updates of subscriptions do not.
type queueView struct {
	resolvers.Lists
	role        leadership
	maxParallel int

	mu sync.Mutex
	// stuckSince is since when slots have been free though pulls wait, zero while that is not so.
	stuckSince time.Time
	// obstacle is what the last answer said, and number counts how often it has changed.
	obstacle string
	number   uint64
	// explained is a list with that obstacle in it, made of the list of that generation.
	generation uint64
	explained  []*pull.State
}

// Active implements resolvers.Lists.
func (q *queueView) Active(ctx context.Context) (cache.Result, error) {
	result, err := q.Lists.Active(ctx)
	if err != nil {
		return result, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.updateLocked(result.States)
	if q.obstacle == "" {
		return result, nil
	}
	if q.generation != result.Generation || q.explained == nil {
		q.generation, q.explained = result.Generation, make([]*pull.State, len(result.States))
		for i, state := range result.States {
			q.explained[i] = explain(state, q.obstacle)
		}
	}
	const bits = 48 // no replica makes as many lists
	result.States = q.explained
	result.Generation |= q.number << bits
	return result, nil
}

// updateLocked finds out what keeps pulls waiting. states are all that have not ended.
func (q *queueView) updateLocked(states []*pull.State) {
	waiting, running := 0, 0
	for _, state := range states {
		switch {
		case state.Phase != pull.Queued:
			running++
		case state.Message == pull.WaitsForSlot:
			waiting++
		}
	}
	leader := q.role.Leader()
	obstacle := ""
	if err := q.role.Obstacle(); err != nil {
		obstacle = err.Error()
	}
	switch stuck := waiting > 0 && running < q.maxParallel && leader != "" && !q.role.Leads(); {
	case !stuck:
		q.stuckSince = time.Time{}
	case q.stuckSince.IsZero():
		q.stuckSince = time.Now()
	case time.Since(q.stuckSince) > stuckAfter:
		obstacle = "slots seem to be free, but " + leader + ", which holds the Lease, starts no pull"
	}
	if obstacle != q.obstacle {
		q.obstacle, q.explained = obstacle, nil
		q.number++
	}
}

// explain returns a state with the obstacle in its message if the pull waits in the queue and nothing of its own is known to keep it
// there.
func (q *queueView) explain(state *pull.State) *pull.State {
	if state == nil || state.Phase != pull.Queued {
		return state
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	obstacle := q.obstacle
	if err := q.role.Obstacle(); err != nil {
		obstacle = err.Error()
	}
	return explain(state, obstacle)
}

func explain(state *pull.State, obstacle string) *pull.State {
	if obstacle == "" || state.Phase != pull.Queued || state.Message != pull.WaitsForSlot {
		return state
	}
	explained := *state
	explained.Message = "Waits in the queue: " + obstacle + "."
	return &explained
}

// explainedUpdates are updates that say in the message of a queued pull what keeps it waiting.
type explainedUpdates struct {
	resolvers.Updates
	queue *queueView
}

func (u explainedUpdates) Latest(id string) *pull.State { return u.queue.explain(u.Updates.Latest(id)) }

// explainedPulls are pulls of which the same holds.
type explainedPulls struct {
	resolvers.Pulls
	queue *queueView
}

func (p explainedPulls) Start(ctx context.Context, asked pull.StartRequest) ([]*pull.StartResult, error) {
	results, err := p.Pulls.Start(ctx, asked)
	for _, result := range results {
		result.Pull = p.queue.explain(result.Pull)
	}
	return results, err
}

func (p explainedPulls) Retry(ctx context.Context, id string) (*pull.State, error) {
	state, err := p.Pulls.Retry(ctx, id)
	return p.queue.explain(state), err
}

func (p explainedPulls) Release(ctx context.Context, id string) (*pull.State, error) {
	state, err := p.Pulls.Release(ctx, id)
	return p.queue.explain(state), err
}

func (p explainedPulls) Find(ctx context.Context, id string) (*pull.State, error) {
	state, err := p.Pulls.Find(ctx, id)
	return p.queue.explain(state), err
}
