package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pullwatch/e2e/harness"
)

const (
	// pollInterval is how long a poller waits between an answer and the next question.
	pollInterval = 20 * time.Millisecond
	// pollLimit is how long an answer may take, whatever is broken.
	pollLimit = 5 * time.Second
)

// poller asks a replica for the lists again and again.
type poller struct {
	replica *replica
	polled  polled
}

// polled is how a poller fared.
type polled struct {
	answers int
	// took is how long each answer took.
	took []time.Duration
	// stale counts the answers that were marked so, oldest is the greatest age that one of them told.
	stale  int
	oldest float64
	// bad holds what went wrong, at most a few of many.
	bad []string
}

// polling is all pollers of a group.
type polling struct {
	pollers []*poller
	cancel  context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
}

// poll starts a poller on each replica. They end with the test at the latest.
func (g *group) poll(t *testing.T) *polling {
	ctx, cancel := context.WithCancel(context.Background())
	p := &polling{cancel: cancel}
	for _, r := range g.replicas {
		poller := &poller{replica: r}
		p.pollers = append(p.pollers, poller)
		p.done.Go(func() { p.run(ctx, poller) })
	}
	t.Cleanup(p.stop)
	return p
}

func (p *polling) stop() {
	p.cancel()
	p.done.Wait()
}

func (p *polling) run(ctx context.Context, poller *poller) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		outages := poller.replica.outages.Load()
		began := time.Now()
		r, err := poller.ask(ctx)
		took := time.Since(began)
		if ctx.Err() != nil {
			return
		}
		if poller.replica.up() && poller.replica.outages.Load() == outages {
			p.mu.Lock()
			poller.polled.add(r, err, took)
			p.mu.Unlock()
		}
		again.Reset(pollInterval)
	}
}

func (p *poller) ask(ctx context.Context) (harness.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*pollLimit)
	defer cancel()
	return p.replica.Respond(ctx, `{ activePulls { id revision } failedPulls { id } }`, nil)
}

func (p *polled) add(r harness.Response, err error, took time.Duration) {
	p.answers++
	p.took = append(p.took, took)
	for _, stale := range r.Extensions.Stale {
		p.oldest = max(p.oldest, stale.AgeSeconds)
	}
	if len(r.Extensions.Stale) > 0 {
		p.stale++
	}
	var data struct{ ActivePulls, FailedPulls []struct{ ID string } }
	if err == nil && len(r.Errors) == 0 {
		err = json.Unmarshal(r.Data, &data)
	}
	switch {
	case err != nil:
		p.complain("after %s: %v", took, err)
	case len(r.Errors) > 0:
		p.complain("after %s: %v", took, r.Errors[0])
	case took > pollLimit:
		p.complain("it took %s", took)
	}
}

func (p *polled) complain(format string, args ...any) {
	const most = 5
	if len(p.bad) < most {
		p.bad = append(p.bad, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// sofar returns how the pollers of all replicas fared, in all.
func (p *polling) sofar() polled {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all polled
	for i, poller := range p.pollers {
		one := poller.polled
		all.answers += one.answers
		all.took = append(all.took, one.took...)
		all.stale += one.stale
		all.oldest = max(all.oldest, one.oldest)
		for _, bad := range one.bad {
			all.bad = append(all.bad, fmt.Sprintf("replica %d: %s", i, bad))
		}
	}
	return all
}

// allStale reports whether every replica that runs has told that a list is stale.
func (p *polling) allStale() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.pollers, func(poller *poller) bool { return poller.replica.up() && poller.polled.stale == 0 })
}

// percentile returns the duration below which a share of all durations is; 0 for none.
func percentile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
