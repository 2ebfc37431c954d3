package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"
)

const (
	// followerPing is how often a follower makes sure that its server is there, followerSilence how long it believes that.
	followerPing    = time.Second
	followerSilence = 4 * time.Second
	// followerPause is how long a follower waits before it tries the next replica.
	followerPause = 50 * time.Millisecond
)

// follower is a client that wants to know how pulls end. When its connection breaks it goes on with another replica,
// after the last revision that it has seen.
type follower struct {
	name  string
	group *group
	at    int      // the index of the replica that it is connected to
	ids   []string // nil for all pulls

	mu         sync.Mutex
	last       string            // revision
	seen       map[string]string // by revision, what came with it
	phases     map[string]string // by pull, the last one, or lost
	updates    int
	reconnects int
	twice      []string // revisions that came again
	bad        []string
}

type following struct {
	followers []*follower
	cancel    context.CancelFunc
	done      sync.WaitGroup
}

// newFollowing returns a set of followers, which end with the test at the latest.
func newFollowing(t *testing.T) (*following, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &following{cancel: cancel}
	t.Cleanup(f.stop)
	return f, ctx
}

func (f *following) stop() {
	f.cancel()
	f.done.Wait()
}

// follow starts a follower that is first connected to the replica of an index.
func (f *following) follow(ctx context.Context, g *group, name string, at int, ids []string) {
	follower := &follower{name: name, group: g, at: at, ids: ids, seen: map[string]string{}, phases: map[string]string{}}
	f.followers = append(f.followers, follower)
	f.done.Go(func() { follower.run(ctx) })
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.read(ctx)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return
		}
		if failed, ok := errors.AsType[graphqlError](err); ok {
			f.complain("replica %d ended it with %v", f.at, failed)
		}
		f.mu.Lock()
		f.reconnects++
		f.mu.Unlock()
		f.at = (f.at + 1) % len(f.group.replicas)
		pause := time.NewTimer(followerPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// read follows on one connection until it breaks; io.EOF means that all pulls have ended.
func (f *follower) read(ctx context.Context) error {
	variables := map[string]any{"ids": f.ids}
	if f.last != "" {
		variables["after"] = f.last
	}
	const query = `subscription($ids: [ID!], $after: ID) { pullJobUpdated(ids: $ids, after: $after) { id phase message revision failure { reason } } }`
	sub, err := open[pullJob](ctx, f.group.replicas[f.at].server, followerSilence, query, variables)
	if err != nil {
		return err
	}
	defer sub.KeepAlive(ctx, followerPing)()
	for {
		update, err := sub.Next()
		if err != nil {
			return err
		}
		f.note(update)
	}
}

func (f *follower) note(update pullJob) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.updates++
	what := update.ID + " " + update.Phase
	if before, again := f.seen[update.Revision]; again {
		f.twice = append(f.twice, fmt.Sprintf("%s: %s, was %s", update.Revision, what, before))
	}
	f.seen[update.Revision] = what
	f.last = update.Revision
	phase := update.Phase
	if update.Failure != nil && update.Failure.Reason == "LOST" {
		phase = lost
	}
	if was := f.phases[update.ID]; (final(was) || was == lost) && was != phase {
		f.complainLocked("%s was %s and is %s: %s", update.ID, was, phase, update.Message)
	}
	f.phases[update.ID] = phase
}

// lost stands for the phase FAILED of a pull whose Job was deleted.
const lost = "LOST"

func (f *follower) complain(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.complainLocked(format, args...)
}

func (f *follower) complainLocked(format string, args ...any) {
	f.bad = append(f.bad, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// lacking returns those of the endings, a phase or lost by pull, that the follower is owed and has not been told of.
func (f *follower) lacking(endings map[string]string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	owed := f.ids
	if owed == nil {
		for id := range endings {
			owed = append(owed, id)
		}
	}
	var lacking []string
	for _, id := range owed {
		if f.phases[id] != endings[id] {
			lacking = append(lacking, fmt.Sprintf("%s is %s and not %s", id, f.phases[id], endings[id]))
		}
	}
	return lacking
}
