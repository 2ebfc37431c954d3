package render

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/pull"
	"pullwatch/internal/serve/lru"
	"pullwatch/internal/usererr"
)

// updates are the shared operations of subscriptions, and the updates rendered for them.
type updates struct {
	mu         sync.Mutex
	operations map[identity]*sharedOperation
	last       uint64 // the number of the last new operation
	unused     int    // how many bytes are left for more operations
	cache      *lru.Cache[updateKey, *update]
}

// updateKey is the key of the last update of a pull for an operation. It has the operation's number instead of its identity,
// which takes more memory than an update.
type updateKey struct {
	operation uint64
	pull      string
}

// update is a pull's state, rendered for an operation. It keeps the state's position, which no other state has.
type update struct {
	position pull.Position
	once     sync.Once
	response *graphql.Response
	revision string // the state's, for clients
}

// join adds a subscription to its operation. It returns the operation that all subscriptions with the same identity share,
// which is o for the first. Call leave when the subscription ends. The error is a usererr.LimitExceeded.
func (u *updates) join(o *sharedOperation) (*sharedOperation, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if shared := u.operations[o.identity]; shared != nil {
		shared.subscriptions++
		return shared, nil
	}
	if o.size > u.unused {
		return nil, usererr.New(usererr.LimitExceeded, "the subscriptions that are open have too many different documents; "+
			"give what differs, such as ids, as variables")
	}
	u.unused -= o.size
	u.last++
	o.number, o.subscriptions = u.last, 1
	u.operations[o.identity] = o
	return o, nil
}

// leave undoes join.
func (u *updates) leave(o *sharedOperation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if o.subscriptions--; o.subscriptions == 0 {
		delete(u.operations, o.identity)
		u.unused += o.size
	}
}

// find returns the update of a pull's state for an operation, and whether it was cached. If not, it has not been rendered.
func (u *updates) find(o *sharedOperation, state *pull.State) (found *update, cached bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := updateKey{o.number, state.ID}
	if found, _ = u.cache.Get(key); found != nil && found.position == state.Position {
		return found, true
	}
	found = &update{position: state.Position}
	u.cache.Add(key, found, updateOverhead)
	return found, false
}

// updateOverhead is about what an update takes in memory in addition to its text, in bytes.
const updateOverhead = 500

// update returns a pull's state, rendered for an operation.
func (r *Renderer) update(o *sharedOperation, state *pull.State) *update {
	u, cached := r.updates.find(o, state)
	if cached {
		r.options.Metrics.updates.hits.Inc()
	}
	u.once.Do(func() {
		began := time.Now()
		u.response, u.revision = r.renderState(o, state), state.RevisionID()
		r.options.Metrics.updates.seconds.Observe(time.Since(began).Seconds())
		r.options.Metrics.updates.rendered.Inc()
		r.updates.setWeight(o, state, u)
	})
	return u
}

// setWeight sets the weight of an update that has been rendered.
func (u *updates) setWeight(o *sharedOperation, state *pull.State, rendered *update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := updateKey{o.number, state.ID}
	if cached, _ := u.cache.Get(key); cached == rendered {
		u.cache.Add(key, rendered, updateOverhead+len(rendered.response.Data)+len(rendered.revision))
	}
}

type stateKey struct{}

// renderState lets gqlgen execute an operation for a state. A panic becomes an error of the response.
func (r *Renderer) renderState(o *sharedOperation, state *pull.State) (response *graphql.Response) {
	ctx := context.WithValue(context.Background(), stateKey{}, state)
	ctx = graphql.WithOperationContext(ctx, o.operation)
	ctx = graphql.WithResponseContext(ctx, r.options.PresentError, r.options.Recover)
	defer func() {
		if panicked := recover(); panicked != nil {
			err := r.options.PresentError(ctx, r.options.Recover(ctx, panicked))
			response = &graphql.Response{Errors: gqlerror.List{err}}
		}
	}()
	executed := r.options.Schema.Exec(ctx)(ctx)
	return &graphql.Response{Data: bytes.Clone(executed.Data), Errors: append(executed.Errors, graphql.GetErrors(ctx)...)}
}
