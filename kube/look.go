package kube

import (
	"context"
	"slices"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/turns"
)

// maxLook bounds the Jobs of one look: the URL of its request holds 19 bytes for each.
const maxLook = 2 * pull.MaxStart

// looks are requests for the Jobs that have not ended of some routes. There is one at a time. Calls that come meanwhile share the
// next one.
type looks struct {
	turns *turns.Turns

	mu sync.Mutex
	// next is the look that the next call joins, nil for none.
	next *look
}

// look is one request. The call that begins it makes it.
type look struct {
	made []*batchv1.Job
	// done is closed once the other fields are set.
	done   chan struct{}
	active []batchv1.Job
	err    error
	// abandoned is true when the call's context was done before there was an answer.
	abandoned bool
}

func newLooks() *looks { return &looks{turns: turns.New(1)} }

type lister func(ctx context.Context, options metav1.ListOptions, jobs ...*batchv1.Job) ([]batchv1.Job, error)

// look returns what list returns for made, perhaps among others. The request begins after the call.
func (l *looks) look(ctx context.Context, list lister, made []*batchv1.Job) ([]batchv1.Job, error) {
	for {
		shared, first := l.join(made)
		if first {
			shared.err = inTurn(ctx, l.turns, func() (err error) {
				l.close(shared)
				shared.active, err = list(ctx, metav1.ListOptions{}, shared.made...)
				return err
			})
			l.close(shared)
			shared.abandoned = ctx.Err() != nil
			close(shared.done)
		}
		select {
		case <-shared.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if first || !shared.abandoned {
			return slices.Clone(shared.active), shared.err
		}
	}
}

// join returns the look that the call takes part in, and whether the call has begun it.
func (l *looks) join(made []*batchv1.Job) (shared *look, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first = l.next == nil || len(l.next.made)+len(made) > maxLook; first {
		l.next = &look{done: make(chan struct{})}
	}
	l.next.made = append(l.next.made, made...)
	return l.next, first
}

// close lets no more calls join a look.
func (l *looks) close(shared *look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == shared {
		l.next = nil
	}
}
