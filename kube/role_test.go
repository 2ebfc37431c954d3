package kube

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate/statetest"
)

func TestPullsAreFollowedWhereWatchingIsRefused(t *testing.T) {
	for _, refused := range []string{"jobs", "pods"} {
		t.Run(refused, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReplicaOf(t, newAPI(t), feed.New("a"))
				r.refuse.forbid(func(verb, resource string) bool { return verb == "watch" && resource == refused })
				r.watch.Demand()
				r.run(t, NewLeader(r.leaderOptions("a", 1, nil)))
				started := r.start(t, "nginx:1", "nginx:2")
				first := started[0].ID
				r.await(t, first, phase(pull.Pending))
				pod := r.runPod(t, first, corev1.PodRunning, *statetest.Running())
				r.await(t, first, phase(pull.Pulling))
				r.setPod(t, pod, corev1.PodSucceeded, *statetest.Ended(0, statetest.Copied))
				r.finish(t, first, batchv1.JobComplete, "")
				began := time.Now()
				if state := r.await(t, first, phase(pull.Succeeded)); state.Destination.Digest == nil {
					t.Errorf("its end is told without the digest: %+v", state)
				}
				r.await(t, started[1].ID, phase(pull.Pending))
				if waited := time.Since(began); waited > 30*time.Second {
					t.Errorf("the next pull starts %v after the end of the first", waited)
				}
				if n := r.refuse.count("list", refused); n > 100 {
					t.Errorf("%d lists", n)
				}
			})
		})
	}
}

func TestAReplicaSaysOnceWhyItCannotLead(t *testing.T) {
	for _, verb := range []string{"get", "create", "update"} {
		t.Run(verb, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newAPI(t)
				before := newReplicaOf(t, api, feed.New("before"))
				if verb == "update" { // there has to be a Lease
					before.run(t, NewLeader(before.leaderOptions("before", 1, nil)))
					synctest.Wait()
					before.stop()
				}
				r := newReplicaOf(t, api, feed.New("a"))
				r.refuse.forbid(func(v, resource string) bool { return v == verb && resource == "leases" })
				var logged bytes.Buffer
				options := r.leaderOptions("a", 1, nil)
				options.Log = slog.New(slog.NewTextHandler(&logged, nil))
				r.run(t, NewLeader(options))
				time.Sleep(time.Minute)
				if err := r.role.Obstacle(); err == nil || !strings.Contains(err.Error(), "cannot "+verb) {
					t.Errorf("users are told: %v", err)
				}
				r.refuse.forbid(nil)
				time.Sleep(10 * time.Second)
				if err := r.role.Obstacle(); err != nil || !r.role.Leads() {
					t.Errorf("with its rights back it leads: %v; users are told: %v", r.role.Leads(), err)
				}
				r.stop()
				if text := logged.String(); strings.Count(text, "refuses this replica the Lease") != 1 || !strings.Contains(text, "cannot "+verb) {
					t.Errorf("logged %s", text)
				}
			})
		})
	}
}

// A leader whose rights are taken away tries one request after the other, and each is refused in other words.
func TestALeaderThatLosesItsRightsSaysWhyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		var logged bytes.Buffer
		options := r.leaderOptions("a", 1, nil)
		options.Log = slog.New(slog.NewTextHandler(&logged, nil))
		r.run(t, NewLeader(options))
		time.Sleep(10 * time.Second)
		if !r.role.Leads() {
			t.Fatal("it does not lead")
		}
		r.refuse.forbid(func(_, resource string) bool { return resource == "leases" })
		time.Sleep(time.Minute)
		r.stop()
		for _, verb := range []string{"get", "update"} {
			if n := strings.Count(logged.String(), "cannot "+verb); n != 1 {
				t.Errorf("the right to %s a Lease is missing %d times in %s", verb, n, &logged)
			}
		}
	})
}

func TestQueuedPullsSayThatPullwatchMayNotStartThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		r.refuse.forbid(func(verb, resource string) bool { return verb == "patch" && strings.HasPrefix(resource, "jobs") })
		id := r.start(t, "nginx")[0].ID
		time.Sleep(time.Second)
		if err := r.role.Obstacle(); err == nil || !strings.Contains(err.Error(), "cannot patch") {
			t.Errorf("users are told: %v", err)
		}
		r.refuse.forbid(nil)
		r.await(t, id, phase(pull.Pending))
		synctest.Wait()
		if err := r.role.Obstacle(); err != nil {
			t.Errorf("with its right back: %v", err)
		}
	})
}

// A Lease may also be held by another program, or by a replica that was killed.
func TestUsersAreToldWhenNobodyLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		leases := r.client.CoordinationV1().Leases(testNamespace)
		a := NewLeader(r.leaderOptions("a", 1, nil))
		r.run(t, a)
		synctest.Wait()
		b := newReplicaOf(t, newAPI(t), feed.New("b"))
		b.client = r.client
		var logged bytes.Buffer
		options := b.leaderOptions("b", 1, nil)
		options.Leases, options.Log = r.client.CoordinationV1(), slog.New(slog.NewTextHandler(&logged, nil))
		b.run(t, NewLeader(options))
		time.Sleep(time.Minute)
		if err := b.role.Obstacle(); err != nil || b.role.Leader() != "a" {
			t.Errorf("while a leads: %v, leader %q", err, b.role.Leader())
		}
		r.refuse.on.Store(true) // a is cut off, and b with it
		time.Sleep(time.Minute)
		if err := b.role.Obstacle(); err == nil {
			t.Error("nobody leads, and nobody is told")
		}
		r.refuse.on.Store(false)
		time.Sleep(time.Minute)
		if ra, rb := r.role.Obstacle(), b.role.Obstacle(); ra != nil || rb != nil {
			t.Errorf("back again: %v, %v", ra, rb)
		}
		b.stop()
		if _, err := leases.Get(t.Context(), leaseName, metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(logged.String(), `another replica leads" holder=a`) {
			t.Errorf("logged %s", &logged)
		}
	})
}

func TestWhatKeepsAReplicaFromReadingIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		r.refuse.forbid(func(verb, resource string) bool { return verb == "list" && resource == "pods" })
		r.watch.Demand()
		r.run(t, nil)
		time.Sleep(time.Minute)
		if err := r.role.Unread(); err == nil || !strings.Contains(err.Error(), "cannot list") {
			t.Errorf("%v", err)
		}
		r.refuse.forbid(nil)
		if err := r.watch.AwaitSync(t.Context()); err != nil || r.role.Unread() != nil {
			t.Errorf("%v, %v", err, r.role.Unread())
		}
	})
}

func TestOnlyWhatWillNotPassIsARefusalOfTheLease(t *testing.T) {
	var logged bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&logged, nil))
	leases := schema.GroupResource{Resource: "leases"}
	var view leaseView
	for _, err := range []error{
		apierrors.NewServiceUnavailable("starting"), apierrors.NewInternalError(errors.New("etcd")), apierrors.NewTooManyRequests("busy", 1),
		apierrors.NewTimeoutError("slow", 1), apierrors.NewNotFound(leases, leaseName), errors.New("connection refused"),
	} {
		view.observe("a", nil, false, err, logger)
		view.observe("a", &resourcelock.LeaderElectionRecord{}, true, err, logger)
	}
	if view.refused() != "" || logged.Len() > 0 {
		t.Errorf("refused: %q; logged %s", view.refused(), &logged)
	}
}

// A replica that another one keeps from leading only reads the Lease.
func TestARefusalIsForgottenWhenTheSameIsAllowed(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, leaseName, errors.New("no"))
	record := &resourcelock.LeaderElectionRecord{HolderIdentity: "other"}
	var view leaseView
	view.observe("a", nil, false, forbidden, quiet)
	view.observe("a", record, false, nil, quiet)
	if words := view.refused(); words != "" {
		t.Errorf("it may read again, and %q", words)
	}
	view.observe("a", record, true, forbidden, quiet)
	view.observe("a", record, false, nil, quiet)
	if view.refused() == "" {
		t.Error("it may only read, and nothing is refused")
	}
	view.observe("a", record, true, nil, quiet)
	if words := view.refused(); words != "" {
		t.Errorf("it may write again, and %q", words)
	}
}

// Another one may lead all the same.
func TestAReplicaThatIsCutOffDoesNotSayThatNobodyLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		r.refuse.on.Store(true)
		r.run(t, NewLeader(r.leaderOptions("a", 1, nil)))
		time.Sleep(time.Minute) // fake time
		if err := r.role.Obstacle(); err == nil || !strings.HasPrefix(err.Error(), "no server is known to lead") {
			t.Errorf("%v", err)
		}
	})
}
