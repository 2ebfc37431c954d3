package kube

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

func TestAJobWhoseWebhookIsAwayDoesNotKeepOthersInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &admissionPolicy{refuse: deny("bad-"), away: true}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		started := r.start(t, "bad", "good")
		r.await(t, started[1].ID, phase(pull.Pending))
		if state := r.hub.Latest(started[0].ID); !says("Kubernetes refuses to start this Job")(state) {
			t.Errorf("it says %q", state.Message)
		}
	})
}

func TestWhatKeepsAPullInTheQueueIsToldWithTheRoleOfAnEarlierVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaUnder(t, newAPI(t), &admissionPolicy{change: staysSuspended}, 1)
		r.refuse.forbid(func(_, resource string) bool { return resource == "jobs/status" })
		id := r.start(t, "nginx")[0].ID
		time.Sleep(10 * time.Second)
		if state := r.hub.Latest(id); !says(suspendedByOther)(state) {
			t.Errorf("it says %q", state.Message)
		}
	})
}

// As the Job controller changes each new Job.
func TestWhatKeepsAPullInTheQueueIsToldAtOnceThoughItsJobChangesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *replica
		changes := 0
		policy := &admissionPolicy{refuse: func(method, job string) string {
			changes++
			change := fmt.Appendf(nil, `{"metadata":{"annotations":{"test/changes":"%d"}}}`, changes)
			if _, err := r.pulls.jobs.Patch(t.Context(), job, "application/merge-patch+json", change, metav1.PatchOptions{}, "status"); err != nil {
				t.Error(err)
			}
			return denied
		}}
		r = newReplicaUnder(t, newAPI(t), policy, 1)
		id := r.start(t, "nginx")[0].ID
		time.Sleep(time.Second) // fake time
		if state := r.hub.Latest(id); !says("this image is on the deny list")(state) {
			t.Errorf("it says %q", state.Message)
		}
	})
}

// Other work has its turn although Kubernetes refuses to start hundreds of pulls.
// Each refusal may take seconds, as of a webhook that does not answer.
func TestManyRefusalsDoNotHoldUpTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each = 5 * time.Second
		slowly := func(method, job string) string {
			why := deny("bad-")(method, job)
			if why != "" {
				time.Sleep(each)
			}
			return why
		}
		r := newReplicaUnder(t, newAPI(t), &admissionPolicy{refuse: slowly}, 2)
		runs := r.start(t, "running")[0].ID
		r.await(t, runs, phase(pull.Pending))
		var images []string
		for i := range 3 * maxRefusals {
			images = append(images, fmt.Sprint("bad:", i))
		}
		r.start(t, images...)
		good := r.start(t, "good")[0]
		time.Sleep(each + time.Second) // the leader has begun with those that came while the first one was refused
		r.runPod(t, runs, corev1.PodFailed, *statetest.Ended(1, statetest.Network))
		time.Sleep((maxRefusals + 1) * each)
		if pullstate.ReadRecord(r.job(t, runs)) == nil {
			t.Error("how an attempt of another pull ended is not written yet")
		}
		r.await(t, good.ID, phase(pull.Pending))
	})
}
