package render

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/lru"
	"pullwatch/pull"
)

// updates are the forms that subscriptions have, and what was rendered for them.
type updates struct {
	mu    sync.Mutex
	forms map[identity]*form
	kept  *lru.Cache[place, *update]
}

// place is where the last update of a pull is kept that was rendered in a form.
type place struct {
	form *form
	pull string
}

// update is a pull's state in a form.
type update struct {
	job      *pull.Job
	once     sync.Once
	response *graphql.Response
}

// join returns the form that all subscriptions of its identity share. The caller leaves it.
func (u *updates) join(f *form) *form {
	u.mu.Lock()
	defer u.mu.Unlock()
	if shared := u.forms[f.identity]; shared != nil {
		f = shared
	} else {
		u.forms[f.identity] = f
	}
	f.subscriptions++
	return f
}

// leave is the end of one subscription. What was rendered in a form that nobody has is the first to be forgotten.
func (u *updates) leave(f *form) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if f.subscriptions--; f.subscriptions == 0 {
		delete(u.forms, f.identity)
	}
}

// find returns the update of a pull's state in a form, and whether it is another's to render.
func (u *updates) find(f *form, job *pull.Job) (found *update, known bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := place{f, job.ID}
	if found, _ = u.kept.Get(at); found != nil && found.job == job {
		return found, true
	}
	found = &update{job: job}
	u.kept.Add(at, found, updateOverhead)
	return found, false
}

// updateOverhead is roughly what an update takes in memory besides its text.
const updateOverhead = 400

// update returns a pull's state as subscriptions of a form get it.
func (r *Renderer) update(f *form, job *pull.Job) *graphql.Response {
	u, known := r.updates.find(f, job)
	if known {
		r.options.Metrics.updates.hits.Inc()
	}
	u.once.Do(func() {
		began := time.Now()
		u.response = r.execute(f, job)
		r.options.Metrics.updates.seconds.Observe(time.Since(began).Seconds())
		r.options.Metrics.updates.rendered.Inc()
		r.updates.weigh(f, u)
	})
	return u.response
}

// weigh makes an update that has been rendered count for what it is.
func (u *updates) weigh(f *form, rendered *update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := place{f, rendered.job.ID}
	if kept, _ := u.kept.Get(at); kept == rendered {
		u.kept.Add(at, rendered, updateOverhead+len(rendered.response.Data))
	}
}

type stateKey struct{}

// execute has gqlgen render a state.
func (r *Renderer) execute(f *form, job *pull.Job) *graphql.Response {
	ctx := context.WithValue(context.Background(), stateKey{}, job)
	ctx = graphql.WithOperationContext(ctx, f.operation)
	ctx = graphql.WithResponseContext(ctx, r.options.PresentError, r.options.Recover)
	response := r.options.Schema.Exec(ctx)(ctx)
	if response == nil {
		response = &graphql.Response{}
	}
	return &graphql.Response{Data: bytes.Clone(response.Data), Errors: append(response.Errors, graphql.GetErrors(ctx)...)}
}
