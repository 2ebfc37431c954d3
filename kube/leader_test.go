package kube

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// lostLease seems to be held, but has not been renewed in time.
type lostLease struct{ held bool }

func (l lostLease) IsLeader() bool { return l.held }

func (l lostLease) Check(time.Duration) error {
	if l.held {
		return errors.New("not renewed in time")
	}
	return nil
}

func TestALeaderThatWasStoppedWritesNothing(t *testing.T) {
	r := newReplicaOf(t, newAPI(t), feed.New("a"))
	r.run(t, nil)
	r.watch.Demand()
	id := r.start(t, "nginx")[0].ID
	r.tracker.mu.Lock()
	job := r.tracker.pulls[id].job
	r.tracker.mu.Unlock()
	for _, held := range []bool{true, false} {
		term := newTerm(NewLeader(r.leaderOptions("a", 1, nil)), lostLease{held})
		if err := term.startQueued(t.Context()); err == nil {
			t.Error("a queued pull was started")
		}
		if err := term.annotate(t.Context(), id, map[string]any{pullstate.AnnotationRecord: "{}"}); err == nil {
			t.Error("a record was written")
		}
		if err := term.delete(t.Context(), job); err == nil {
			t.Error("a Job was deleted")
		}
	}
	now, err := r.client.BatchV1().Jobs(testNamespace).Get(t.Context(), id, metav1.GetOptions{})
	if err != nil || now.ResourceVersion != job.ResourceVersion {
		t.Errorf("the Job has changed: %v", err)
	}
}

// successors learn at once when one of them resigns.
type successors []chan struct{}

func (s successors) of(i int) succession { return succession{s, i} }

type succession struct {
	all successors
	i   int
}

func (s succession) Vacant() <-chan struct{} { return s.all[s.i] }

func (s succession) Resign(context.Context) {
	for _, c := range s.all {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func TestNoPullWaitsWhenALeaderResigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, hub := newAPI(t), feed.New("a")
		learn := successors{make(chan struct{}, 1), make(chan struct{}, 1)}
		var replicas []*replica
		for i, name := range []string{"a", "b"} {
			r := newReplicaOf(t, api, hub)
			r.run(t, NewLeader(r.leaderOptions(name, 1, learn.of(i))))
			synctest.Wait()
			replicas = append(replicas, r)
		}
		a, b := replicas[0], replicas[1]
		if !a.role.Leads() || b.role.Leads() || !a.role.Watches() || b.role.Watches() {
			t.Fatal("a is to lead and to watch, and only a")
		}
		started := b.start(t, "nginx:1", "nginx:2")
		a.await(t, started[0].ID, phase(pull.Pending))
		a.finish(t, started[0].ID, "Complete", "")
		a.await(t, started[1].ID, phase(pull.Pending))
		third := b.start(t, "nginx:3")[0]
		began := time.Now()
		a.stop()
		synctest.Wait()
		if waited := time.Since(began); !b.role.Leads() || !b.role.Watches() || waited > 0 {
			t.Errorf("b leads: %v, after %s", b.role.Leads(), waited)
		}
		b.finish(t, started[1].ID, "Complete", "")
		b.await(t, third.ID, phase(pull.Pending))
	})
}

func TestALeaderStopsBeforeAnotherOneMayBegin(t *testing.T) {
	if last := retryPeriod + renewDeadline; last >= leaseDuration {
		t.Errorf("a leader may go on for %v after it renewed a Lease of %v", last, leaseDuration)
	}
	if leaseDuration%time.Second != 0 {
		t.Errorf("the Lease lasts %v, but says so in seconds", leaseDuration)
	}
}
