package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pullwatch/cache"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/replica"
	"pullwatch/resolvers"
)

// backend holds pulls in memory, where neither Kubernetes nor Redis is to be measured. All of them are active, and change when
// they are told to. It implements resolvers.Lists.
type backend struct {
	hub    *feed.Hub
	active atomic.Pointer[cache.Result]

	mu    sync.Mutex
	pulls []*pull.State // the latest states
}

func newBackend(n int) (*backend, error) {
	b := &backend{hub: feed.New("bench")}
	for i := range n {
		job, err := newPull(i)
		if err != nil {
			return nil, err
		}
		b.pulls = append(b.pulls, job)
		b.hub.Publish(job)
	}
	b.hub.SetSynced()
	b.active.Store(&cache.Result{States: b.hub.Active(), Generation: 1})
	return b, nil
}

// pullID returns the id of the pull with an index.
func pullID(i int) string { return fmt.Sprintf("pull-service-%05d", i) }

// imageName returns the image of the pull with an index.
func imageName(i int) string {
	return fmt.Sprintf("registry.example/team-%d/service-%d:1.%d.0", i%7, i%211, i)
}

const imageBytes = 1 << 30

func newPull(i int) (*pull.State, error) {
	image, err := pull.ParseImage(imageName(i))
	if err != nil {
		return nil, err
	}
	to, err := image.At(destination)
	if err != nil {
		return nil, err
	}
	created := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
	return &pull.State{
		ID: pullID(i), Image: image, Destination: to, Phase: pull.Pulling, Message: "copying 3 of 7 layers", Attempts: 1,
		Progress:  pull.Progress{BytesTotal: new(int64(imageBytes)), BytesPerSecond: new(int64(52_428_800)), SecondsLeft: new(12)},
		CreatedAt: created, StartedAt: created.Add(time.Second), UpdatedAt: created.Add(time.Second),
		Revision: pull.Revision{Cluster: uint64(1000 + i)},
	}, nil
}

// Publication says what a server is to publish. The zero value is one new state of the first pull.
type Publication struct {
	// Updates is how many states there are to be, with Every between two of them. The first Pulls of the pulls take turns.
	Updates, Pulls int
	Every          time.Duration
	// Message is how long the message of each state is; 0 for a short one.
	Message int
	// Lists makes the list of active pulls show the states.
	Lists bool
}

func (b *backend) publish(p Publication) error {
	next := time.NewTicker(max(p.Every, 1))
	defer next.Stop()
	for i := range max(p.Updates, 1) {
		if i > 0 {
			<-next.C
		}
		b.update(i%max(p.Pulls, 1), p)
	}
	return nil
}

// update publishes a new state of the pull with an index.
func (b *backend) update(i int, p Publication) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := *b.pulls[i]
	state.Revision.Step++
	state.UpdatedAt = time.Now().UTC()
	state.Progress.BytesDone = (state.Progress.BytesDone + 10_000_019) % imageBytes
	state.Progress.Percent = int(100 * state.Progress.BytesDone / imageBytes)
	if p.Message > 0 {
		state.Message = strings.Repeat("m", p.Message)
	}
	b.pulls[i] = &state
	b.hub.Publish(&state)
	if p.Lists {
		b.active.Store(&cache.Result{States: b.hub.Active(), Generation: b.active.Load().Generation + 1})
	}
}

func (b *backend) Active(context.Context) (cache.Result, error) { return *b.active.Load(), nil }

func (b *backend) Failed(context.Context, int) (cache.Result, error) {
	return cache.Result{States: []*pull.State{}, Generation: 1}, nil
}

func (b *backend) Require(uint64) {}

// resolver answers queries for lists and subscriptions to updates and logs, and nothing else.
func (b *backend) resolver(r *replica.Resources) *resolvers.Resolver {
	return &resolvers.Resolver{Lists: b, Updates: b.hub, Logs: replica.NewLogs(r, logSource{}, 0, 0)}
}
