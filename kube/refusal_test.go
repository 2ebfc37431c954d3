package kube

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

// A webhook may deny with any code, and may hang. With 404 it says, to the leader, that the Job is gone.
func TestNoRefusalToStartOnePullKeepsOthersInTheQueue(t *testing.T) {
	for _, code := range []int{0, 400, 401, 403, 409, 413, 422, 429, 500, 503, 504} {
		name, policy := fmt.Sprint(code), &admissionPolicy{refuse: deny("bad-"), code: code}
		why := "this image is on the deny list"
		if code == 0 {
			name, policy.hang, why = "it hangs", true, "Kubernetes does not answer when it is to start this Job"
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReplicaUnder(t, newAPI(t), policy, 1)
				r.pulls.prototype.Spec.ActiveDeadlineSeconds = new(int64(3600))
				started := r.start(t, "bad:1", "bad:2", "good")
				time.Sleep(time.Minute) // fake time
				if state := r.hub.Latest(started[2].ID); state.Phase != pull.Pending {
					t.Errorf("another pull is %s: %s", state.Phase, state.Message)
				}
				r.finish(t, started[2].ID, "Complete", "")
				before := policy.patches.Load()
				time.Sleep(10 * time.Minute) // fake time
				for _, bad := range started[:2] {
					if state := r.hub.Latest(bad.ID); state.Phase != pull.Queued || !says(why)(state) || !says("It is tried again")(state) {
						t.Errorf("%s: %s", state.Phase, state.Message)
					}
				}
				if n := policy.patches.Load() - before; n < 2 || n > 40 {
					t.Errorf("%d patches in ten minutes", n)
				}
				policy.off.Store(true)
				r.await(t, started[0].ID, phase(pull.Pending))
			})
		})
	}
}

// As the Job controller and others change Jobs that wait.
func TestAnOldPullWhoseJobChangesAsItIsStartedStartsBeforeYoungerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *replica
		var changed sync.Map
		r = newReplicaUnder(t, newAPI(t), &admissionPolicy{see: func(job, patch string) {
			if _, before := changed.LoadOrStore(job, true); before || !strings.Contains(patch, `"suspend":false`) {
				return
			}
			now := r.job(t, job)
			metav1.SetMetaDataAnnotation(&now.ObjectMeta, "test/changed", "once")
			if _, err := r.client.BatchV1().Jobs(testNamespace).Update(t.Context(), now, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		}}, 1)
		running := r.start(t, "running")[0].ID
		r.await(t, running, phase(pull.Pending))
		old := r.start(t, "nginx:1")[0].ID
		time.Sleep(time.Second) // fake time
		young := r.start(t, "a-younger-one")[0].ID
		r.finish(t, running, "Complete", "")
		r.await(t, old, phase(pull.Pending))
		if state := r.hub.Latest(young); state.Phase != pull.Queued {
			t.Errorf("the younger one is %s", state.Phase)
		}
	})
}

// Some pulls cannot start, a healthy one comes after them.
func TestPullsThatLetOthersGoFirstStandBehindThoseThatCameBeforeTheirNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stuck = 20
		r := leading(t, 2, 10*time.Hour)
		var images []string
		for i := range stuck {
			images = append(images, fmt.Sprint("stuck:", i))
		}
		started := r.start(t, images...)
		time.Sleep(time.Second) // fake time
		healthy := r.start(t, "healthy")[0].ID
		began := time.Now()
		for time.Since(began) < 40*time.Minute && r.hub.Latest(healthy).Phase == pull.Queued {
			for _, state := range started {
				r.playStuck(t, state.ID)
			}
			time.Sleep(10 * time.Second) // fake time
		}
		// Each of them has a slot for two minutes, two at a time.
		if waited := time.Since(began); waited > (stuck+5)*time.Minute {
			t.Errorf("the healthy one waited for %v", waited)
		}
	})
}

// playStuck plays the Job controller for a pull over quota.
func (r *replica) playStuck(t *testing.T, id string) {
	t.Helper()
	job := r.job(t, id)
	switch {
	case !*job.Spec.Suspend && job.Status.StartTime == nil:
		r.starts(t, id)
		r.warn(t, job, "Job", "FailedCreate", noRoom)
	case *job.Spec.Suspend && job.Status.StartTime != nil:
		job.Status.StartTime = nil
		if _, err := r.client.BatchV1().Jobs(testNamespace).UpdateStatus(t.Context(), job, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// While Kubernetes refuses to start hundreds of pulls, how other attempts end is written all the same.
func TestManyRefusalsDoNotHoldUpOtherWorkOfTheLeader(t *testing.T) {
	for _, hang := range []bool{false, true} {
		t.Run(fmt.Sprint("hang: ", hang), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r *replica
				var refusals, recorded atomic.Int32
				var pod atomic.Pointer[corev1.Pod]
				policy := &admissionPolicy{hang: hang, refuse: func(method, job string) string {
					if method != http.MethodPatch || !strings.HasPrefix(job, "bad-") {
						return ""
					}
					refusals.Add(1)
					time.Sleep(10 * time.Millisecond) // fake time
					return denied
				}, see: func(_, patch string) {
					switch {
					case strings.Contains(patch, pullstate.AnnotationRecord):
						recorded.CompareAndSwap(0, refusals.Load())
					case strings.Contains(patch, pullstate.AnnotationHindrance):
						if running := pod.Swap(nil); running != nil {
							r.setPod(t, running, corev1.PodFailed, *statetest.Ended(1, statetest.Network))
						}
					}
				}}
				r = newReplicaUnder(t, newAPI(t), policy, 2)
				running := r.start(t, "running")[0].ID
				r.await(t, running, phase(pull.Pending))
				pod.Store(r.runPod(t, running, corev1.PodRunning, *statetest.Running()))
				r.await(t, running, phase(pull.Pulling))
				var images []string
				for i := range 3 * maxRefusals {
					images = append(images, fmt.Sprint("bad:", i))
				}
				r.start(t, images...)
				good := r.start(t, "good")[0]
				r.await(t, good.ID, phase(pull.Pending))
				if n := recorded.Load(); n == 0 || n > maxRefusals+1 {
					t.Errorf("an end was recorded after %d refusals of %d", n, refusals.Load())
				}
				if n := refusals.Load(); n > 4*maxRefusals {
					t.Errorf("before the healthy pull there were %d tries of %d", n, 3*maxRefusals)
				}
			})
		})
	}
}
