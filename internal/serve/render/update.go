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

// updates are the operations that subscriptions share, and what was rendered for them.
type updates struct {
	mu         sync.Mutex
	operations map[identity]*sharedOperation
	last       uint64 // the number of the last operation
	room       int    // for the documents of more forms, in bytes
	kept       *lru.Cache[updateKey, *update]
}

// updateKey is the key of the last update of a pull that was rendered for an operation. It holds the number only: the
// operation takes more memory than the update.
type updateKey struct {
	operation uint64
	pull      string
}

// update is a pull's state as an operation renders it. Of the state it keeps the position only, which no other state has.
type update struct {
	of       pull.Position
	once     sync.Once
	response *graphql.Response
}

// join returns the operation that all subscriptions of its identity share. The caller leaves it. The error is a
// usererr.LimitExceeded.
func (u *updates) join(f *sharedOperation) (*sharedOperation, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if shared := u.operations[f.identity]; shared != nil {
		shared.subscriptions++
		return shared, nil
	}
	if f.size > u.room {
		return nil, usererr.New(usererr.LimitExceeded, "the subscriptions that are open have too many different documents; "+
			"give what differs, such as ids, as variables")
	}
	u.room -= f.size
	u.last++
	f.number, f.subscriptions = u.last, 1
	u.operations[f.identity] = f
	return f, nil
}

// leave is the end of one subscription.
func (u *updates) leave(f *sharedOperation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f.subscriptions--; f.subscriptions == 0 {
		delete(u.operations, f.identity)
		u.room += f.size
	}
}

// find returns the update of a pull's state for an operation, and whether it is another's to render.
func (u *updates) find(f *sharedOperation, job *pull.State) (found *update, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := updateKey{f.number, job.ID}
	if found, _ = u.kept.Get(at); found != nil && found.of == job.Position {
		return found, true
	}
	found = &update{of: job.Position}
	u.kept.Add(at, found, updateOverhead)
	return found, false
}

// updateOverhead is roughly what an update takes in memory besides its text.
const updateOverhead = 500

// update returns a pull's state as subscriptions of an operation get it.
func (r *Renderer) update(f *sharedOperation, job *pull.State) *graphql.Response {
	u, known := r.updates.find(f, job)
	if known {
		r.options.Metrics.updates.hits.Inc()
	}
	u.once.Do(func() {
		began := time.Now()
		u.response = r.execute(f, job)
		r.options.Metrics.updates.seconds.Observe(time.Since(began).Seconds())
		r.options.Metrics.updates.rendered.Inc()
		r.updates.weigh(f, job, u)
	})
	return u.response
}

// weigh makes an update that has been rendered count for what it is.
func (u *updates) weigh(f *sharedOperation, job *pull.State, rendered *update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := updateKey{f.number, job.ID}
	if kept, _ := u.kept.Get(at); kept == rendered {
		u.kept.Add(at, rendered, updateOverhead+len(rendered.response.Data))
	}
}

type stateKey struct{}

// execute has gqlgen render a state. A panic becomes the response's error.
func (r *Renderer) execute(f *sharedOperation, job *pull.State) (response *graphql.Response) {
	ctx := context.WithValue(context.Background(), stateKey{}, job)
	ctx = graphql.WithOperationContext(ctx, f.operation)
	ctx = graphql.WithResponseContext(ctx, r.options.PresentError, r.options.Recover)
	defer func() {
		if panicked := recover(); panicked != nil {
			err := r.options.PresentError(ctx, r.options.Recover(ctx, panicked))
			response = &graphql.Response{Errors: gqlerror.List{err}}
		}
	}()
	made := r.options.Schema.Exec(ctx)(ctx)
	return &graphql.Response{Data: bytes.Clone(made.Data), Errors: append(made.Errors, graphql.GetErrors(ctx)...)}
}
