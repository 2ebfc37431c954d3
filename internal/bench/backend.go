package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/resolvers"
)

// backend is what GraphQL is served from when neither Kubernetes nor Redis is to be measured: some pulls, all active, that
// change when they are told to.
type backend struct {
	hub *feed.Hub

	mu    sync.Mutex
	pulls []*pull.Job // the latest states

	active     atomic.Pointer[cache.Result]
	generation uint64 // guarded by mu
}

func newBackend(n int) (*backend, error) {
	b := &backend{hub: feed.New("bench"), pulls: make([]*pull.Job, n)}
	for i := range b.pulls {
		job, err := newPull(i)
		if err != nil {
			return nil, err
		}
		b.pulls[i] = job
		b.hub.Publish(job)
	}
	b.hub.SetSynced()
	b.list()
	return b, nil
}

// pullID returns the id of the pull with an index.
func pullID(i int) string { return fmt.Sprintf("pull-service-%05d", i) }

const pullBytes = 1 << 30 // of each image

func newPull(i int) (*pull.Job, error) {
	image, err := pull.ParseImage(images(i, i+1)[0])
	if err != nil {
		return nil, err
	}
	to, err := image.At(destination)
	if err != nil {
		return nil, err
	}
	created := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
	total, rate, left := int64(pullBytes), int64(52_428_800), 12
	return &pull.Job{
		ID: pullID(i), Image: image, Destination: to, Phase: pull.Pulling, Message: "copying 3 of 7 layers", Attempts: 1,
		Progress:  pull.Progress{BytesTotal: &total, BytesPerSecond: &rate, SecondsLeft: &left},
		CreatedAt: created, StartedAt: created.Add(time.Second), UpdatedAt: created.Add(time.Second),
		Revision: pull.Revision{Cluster: uint64(1000 + i)},
	}, nil
}

// publication says what is to be published.
type publication struct {
	// Pulls is how many pulls take turns, 1 if it is 0.
	Pulls int
	// Updates is how many there are to be, 1 if it is 0, and Every the time from one to the next.
	Updates int
	Every   time.Duration
	// Message is how long the message of each state is; 0 for a short one.
	Message int
	// Lists makes the list of active pulls show the states. Otherwise it stays as it is.
	Lists bool
}

// publish publishes new states, and returns after the last.
func (b *backend) publish(ctx context.Context, p publication) (struct{}, error) {
	return struct{}{}, p.each(ctx, func(i int) error {
		b.update(i, p)
		return nil
	})
}

// each calls f at the time of each update.
func (p publication) each(ctx context.Context, f func(i int) error) error {
	if p.Updates <= 1 {
		return f(0)
	}
	ticker := time.NewTicker(max(p.Every, 1))
	defer ticker.Stop()
	for i := range p.Updates {
		if err := f(i); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b *backend) update(i int, p publication) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i %= max(p.Pulls, 1)
	state := *b.pulls[i]
	state.Revision.Step++
	state.UpdatedAt = time.Now().UTC()
	state.Progress.BytesDone = (state.Progress.BytesDone + 10_000_019) % pullBytes
	state.Progress.Percent = int(100 * state.Progress.BytesDone / pullBytes)
	if p.Message > 0 {
		state.Message = strings.Repeat("m", p.Message)
	}
	b.pulls[i] = &state
	b.hub.Publish(&state)
	if p.Lists {
		b.list()
	}
}

// list makes the list of active pulls what it is now.
func (b *backend) list() {
	b.generation++
	b.active.Store(&cache.Result{Jobs: b.hub.Active(), Generation: b.generation})
}

// Active implements resolvers.Lists, as do Failed and Require.
func (b *backend) Active(context.Context) (cache.Result, error) { return *b.active.Load(), nil }

func (b *backend) Failed(context.Context, int) (cache.Result, error) {
	return cache.Result{Jobs: []*pull.Job{}, Generation: 1}, nil
}

func (b *backend) Require(uint64) {}

// resolver returns what answers queries for lists and subscriptions to updates from b and to logs from memory, and nothing
// else.
func (b *backend) resolver(metrics prometheus.Registerer) *resolvers.Resolver {
	return &resolvers.Resolver{Lists: b, Updates: b.hub, Logs: streamer(metrics)}
}
