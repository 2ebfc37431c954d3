package kube

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate/statetest"
)

// warn plays a part of Kubernetes that has something to say about a Job or a pod.
func (r *replica) warn(t *testing.T, object metav1.Object, kind, reason, message string) {
	t.Helper()
	_, err := r.client.CoreV1().Events(testNamespace).Create(t.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: object.GetName() + "-"},
		InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: testNamespace, Name: object.GetName(), UID: object.GetUID()},
		Type:           corev1.EventTypeWarning, Reason: reason, Message: message, LastTimestamp: metav1.Now(),
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *replica) job(t *testing.T, id string) *batchv1.Job {
	t.Helper()
	job, err := r.client.BatchV1().Jobs(testNamespace).Get(t.Context(), id, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func says(text string) func(*pull.State) bool {
	return func(state *pull.State) bool { return strings.Contains(state.Message, text) }
}

const noRoom = `Error creating: pods "nginx-x7k2p" is forbidden: exceeded quota: team, requested: pods=1`

func TestAllReplicasSayWhatOnlyAnEventTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		a := newReplica(t, api, "a", 10)
		synctest.Wait() // a leads
		b := newReplica(t, api, "b", 10)
		started := a.start(t, "nginx:1", "nginx:2")
		for _, state := range started {
			a.await(t, state.ID, phase(pull.Pending))
		}
		pod := a.runPod(t, started[1].ID, corev1.PodPending, *statetest.Waiting("ContainerCreating", ""))
		time.Sleep(time.Second) // fake time, in which both see the pod: revisions of equal states depend on what came first
		a.warn(t, a.job(t, started[0].ID), "Job", "FailedCreate", noRoom)
		a.warn(t, pod, "Pod", "FailedMount", `secret "nope" not found`)
		time.Sleep(time.Second) // fake time
		for i, text := range []string{"exceeded quota: team", `secret "nope" not found`} {
			one, other := a.hub.Latest(started[i].ID), b.hub.Latest(started[i].ID)
			if one.Revision != other.Revision || !one.Same(other) || !says(text)(one) {
				t.Errorf("the replicas differ, or do not say it:\n%+v\n%+v", one, other)
			}
		}
		a.stop()
		b.finish(t, started[0].ID, batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)
		if f := b.await(t, started[0].ID, phase(pull.Failed)).Failure; f.Reason != pull.Quota {
			t.Errorf("it failed as %s: %s", f.Reason, f.Message)
		}
		if one := b.hub.Latest(started[1].ID); !strings.Contains(one.Message, "nope") {
			t.Errorf("after the leader has gone: %q", one.Message)
		}
	})
}

// A kubelet warns of each volume that is missing in turn, less and less often.
func TestTwoMissingVolumesAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := leading(t, 1, time.Hour)
		id := r.start(t, "nginx")[0].ID
		r.await(t, id, phase(pull.Pending))
		pod := r.runPod(t, id, corev1.PodPending, *statetest.Waiting("ContainerCreating", ""))
		const one, other = `MountVolume.SetUp failed for volume "logins" : secret "a" not found`, `MountVolume.SetUp failed for volume "ca" : configmap "b" not found`
		r.warn(t, pod, "Pod", "FailedMount", one)
		r.await(t, id, says(one))
		before := r.refuse.count("patch", "jobs")
		for range 8 {
			time.Sleep(time.Minute) // fake time
			r.warn(t, pod, "Pod", "FailedMount", other)
			time.Sleep(time.Minute) // fake time
			r.warn(t, pod, "Pod", "FailedMount", one)
		}
		if n := r.refuse.count("patch", "jobs") - before; n > 0 {
			t.Errorf("the Job was written %d times", n)
		}
		for range 2 { // the first one is there now
			time.Sleep(2 * time.Minute) // fake time
			r.warn(t, pod, "Pod", "FailedMount", other)
		}
		r.await(t, id, says(other))
	})
}

func TestWhatWasSaidBeforeTheLeaderLedIsToldAsWell(t *testing.T) {
	api := newAPI(t)
	a := newReplica(t, api, "a", 10)
	id := a.start(t, "nginx")[0].ID
	a.await(t, id, phase(pull.Pending))
	a.stop()
	a.warn(t, a.job(t, id), "Job", "FailedCreate", noRoom)
	newReplica(t, api, "b", 10).await(t, id, says("exceeded quota"))
}

func TestReadingEventsCostsOneListAndOneWatch(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 100)
	var images []string
	for i := range 100 {
		images = append(images, fmt.Sprintf("nginx:%d", i))
	}
	started := r.start(t, images...)
	for _, state := range started {
		r.await(t, state.ID, phase(pull.Pending))
	}
	r.warn(t, r.job(t, started[99].ID), "Job", "FailedCreate", noRoom)
	r.await(t, started[99].ID, says("exceeded quota"))
	if lists, watches := r.refuse.count("list", "events"), r.refuse.count("watch", "events"); lists != 1 || watches != 1 {
		t.Errorf("%d lists and %d watches", lists, watches)
	}
}

// Roles of earlier manifests do not allow to read events.
func TestPullsRunWhereEventsCannotBeRead(t *testing.T) {
	for _, verb := range []string{"list", "watch"} {
		synctest.Test(t, func(t *testing.T) {
			r := newReplicaOf(t, newAPI(t), feed.New("a"))
			r.refuse.forbid(func(v, resource string) bool { return v == verb && resource == "events" })
			r.watch.Demand()
			var logged bytes.Buffer
			options := r.leaderOptions("a", 10, nil)
			options.Log = slog.New(slog.NewTextHandler(&logged, nil))
			r.run(t, NewLeader(options))
			id := r.start(t, "nginx")[0].ID
			r.await(t, id, phase(pull.Pending))
			r.warn(t, r.job(t, id), "Job", "FailedCreate", noRoom)
			time.Sleep(10 * time.Minute)
			if n := r.refuse.count("list", "events"); n > 25 {
				t.Errorf("events were asked for %d times in ten minutes", n)
			}
			r.refuse.forbid(nil)
			r.await(t, id, says("exceeded quota"))
			r.stop()
			if text := logged.String(); strings.Count(text, "events cannot be read") != 1 || !strings.Contains(text, "cannot "+verb) {
				t.Errorf("logged %s", text)
			}
		})
	}
}
