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
	// latest returns the known state of a pull, nil if there is none.
	latest func(id string) *pull.State

	mu sync.Mutex
	// waiting is the oldest pull that waits for a slot though one seems to be free, and passedOver since when it does so under the
	// same leader. Both are of the last list that was read. waiting is empty if there is no such pull.
	waiting, leader string
	passedOver      time.Time
	explained       explainedList
}

// explainedList is a list of active pulls with an obstacle in their messages.
type explainedList struct {
	states []*pull.State
	// generation is its own, of is that of the list that it was made of.
	generation, of uint64
	obstacle       string
}

// explainedGeneration is more than the generation of any list that is not explained.
const explainedGeneration = 1 << 63

// Active implements resolvers.Lists.
func (q *queueView) Active(ctx context.Context) (cache.Result, error) {
	result, err := q.Lists.Active(ctx)
	if err != nil {
		return result, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.observeLocked(result.States)
	obstacle := q.obstacleLocked()
	if obstacle == "" {
		return result, nil
	}
	if e := &q.explained; e.of != result.Generation || e.obstacle != obstacle {
		states := make([]*pull.State, len(result.States))
		for i, state := range result.States {
			states[i] = explain(state, obstacle)
		}
		*e = explainedList{states, max(e.generation, explainedGeneration) + 1, result.Generation, obstacle}
	}
	result.States, result.Generation = q.explained.states, q.explained.generation
	return result, nil
}

// observeLocked finds out whether another replica passes over a pull that it could start. states are all that have not ended.
func (q *queueView) observeLocked(states []*pull.State) {
	var oldest *pull.State
	running := 0
	for _, state := range states {
		switch {
		case state.Phase != pull.Queued:
			running++
		case waits(state) && (oldest == nil || state.CreatedAt.Before(oldest.CreatedAt)):
			oldest = state
		}
	}
	leader := q.role.Leader()
	switch {
	case oldest == nil || running >= q.maxParallel || leader == "" || q.role.Leads():
		q.waiting = ""
	case oldest.ID != q.waiting || leader != q.leader:
		q.waiting, q.leader, q.passedOver = oldest.ID, leader, time.Now()
	}
}

// obstacleLocked returns what keeps all queued pulls waiting, for people; empty if nothing is known to.
func (q *queueView) obstacleLocked() string {
	if err := q.role.Obstacle(); err != nil {
		return err.Error()
	}
	if q.waiting == "" || time.Since(q.passedOver) <= stuckAfter || q.role.Leader() != q.leader || !waits(q.latest(q.waiting)) {
		return ""
	}
	return "slots seem to be free, but " + q.leader + ", which holds the Lease, starts no pull"
}

// waits reports whether a pull waits in the queue and nothing of its own is known to keep it there.
func waits(state *pull.State) bool {
	return state != nil && state.Phase == pull.Queued && state.Message == pull.WaitsForSlot
}

// explain returns a state with what keeps it waiting in its message.
func (q *queueView) explain(state *pull.State) *pull.State {
	if !waits(state) {
		return state
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return explain(state, q.obstacleLocked())
}

func explain(state *pull.State, obstacle string) *pull.State {
	if obstacle == "" || !waits(state) {
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
