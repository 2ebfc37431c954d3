package kube

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

// pasts are pulls that end in every way that there is, with the histories of their objects.
func pasts() map[string]*past {
	make := func(happens func(*past)) *past {
		p := newPast()
		happens(p)
		return p
	}
	canceled := func(p *past) {
		started := "0001-01-01T00:00:00Z"
		if p.Job.Status.StartTime != nil {
			started = p.Job.Status.StartTime.UTC().Format(time.RFC3339)
		}
		p.onJob(func(job *batchv1.Job) {
			job.Spec.Suspend = new(true)
			job.Annotations[pullstate.AnnotationCanceled] = statetest.Epoch.Add(time.Minute).Format(time.RFC3339Nano)
			job.Annotations["pullwatch/canceled-state"] = `{"attempts":1,"last":{"bytesDone":3,"bytesTotal":900},"started":"` + started + `"}`
		})
		// The Job controller sees that it is suspended.
		p.onJob(func(job *batchv1.Job) { job.Status.StartTime, job.Status.Active = nil, 0 })
	}
	tail := []string{"line 1", "line 2"}
	return map[string]*past{
		"succeeds": make(func(p *past) {
			p.runs()
			p.onPod(corev1.PodSucceeded, statetest.Ended(0, statetest.Copied))
			p.recorded(pullstate.Record{Ran: true, Ended: true, Outcome: statetest.Copied})
			p.ends(batchv1.JobComplete, "")
			p.podGone()
			p.jobGone()
		}),
		"is recorded after it has ended": make(func(p *past) {
			p.runs()
			p.onPod(corev1.PodSucceeded, statetest.Ended(0, statetest.Copied))
			p.ends(batchv1.JobComplete, "")
			p.recorded(pullstate.Record{Ran: true, Ended: true, Outcome: statetest.Copied})
			p.podGone()
			p.jobGone()
		}),
		"fails for good": make(func(p *past) {
			p.runs()
			p.onPod(corev1.PodFailed, statetest.Ended(3, statetest.NotFound))
			p.ends(batchv1.JobFailed, "PodFailurePolicy")
			p.recorded(pullstate.Record{Ran: true, Ended: true, Outcome: statetest.NotFound, LogTail: tail, Time: statetest.Epoch.Add(time.Hour)})
			p.podGone()
			p.jobGone()
		}),
		"fails once and succeeds": make(func(p *past) {
			p.runs()
			p.onPod(corev1.PodFailed, statetest.Ended(1, statetest.Network))
			p.recorded(pullstate.Record{Ran: true, Ended: true, Outcome: statetest.Network, LogTail: tail})
			p.podGone()
			p.attempt()
			p.onPod(corev1.PodSucceeded, statetest.Ended(0, statetest.Copied))
			p.recorded(pullstate.Record{Ran: true, Ended: true, Outcome: statetest.Copied})
			p.ends(batchv1.JobComplete, "")
			p.podGone()
			p.jobGone()
		}),
		"never starts": make(func(p *past) {
			p.onJob(func(job *batchv1.Job) { job.Spec.Suspend = new(false) })
			p.Pod(1, corev1.PodPending, nil)
			p.onPod(corev1.PodPending, statetest.Waiting("ErrImagePull", "x: not found"))
			p.recorded(pullstate.Record{Outcome: pull.Outcome{Reason: pull.CopierImage, Message: "The copier cannot start: ErrImagePull: x: not found"}})
			p.history[len(p.history)-1].job.Annotations[pullstate.AnnotationRecord] = p.Job.Annotations[pullstate.AnnotationRecord]
			p.onPod(corev1.PodPending, statetest.Waiting("ImagePullBackOff", "Back-off pulling image: x: not found"))
			p.ends(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)
			p.podGone()
			p.jobGone()
		}),
		"is canceled in the queue": make(func(p *past) { canceled(p); p.jobGone() }),
		"is canceled while it runs": make(func(p *past) {
			p.runs()
			canceled(p)
			p.onPod(corev1.PodFailed, statetest.Ended(137, pull.Outcome{}))
			p.podGone()
			p.jobGone()
		}),
		"is deleted in the queue":  make(func(p *past) { p.jobGone() }),
		"is deleted while it runs": make(func(p *past) { p.runs(); p.jobGone(); p.podGone() }),
		"is deleted after its pod": make(func(p *past) { p.runs(); p.podGone(); p.jobGone() }),
		"is deleted, and a finalizer keeps its Job": make(func(p *past) {
			p.runs()
			p.onJob(func(job *batchv1.Job) {
				job.DeletionTimestamp, job.Finalizers = new(statetest.At(30)), []string{"example.com/audit"}
			})
			p.onPod(corev1.PodFailed, statetest.Ended(1, statetest.Network))
			p.onJob(func(job *batchv1.Job) { job.Status.Active = 0 })
			p.recorded(pullstate.Record{Ran: true, Ended: true, Outcome: statetest.Network, LogTail: tail})
			p.podGone()
			p.jobGone()
		}),
		"is done though its Job was deleted": make(func(p *past) {
			p.runs()
			p.onJob(func(job *batchv1.Job) {
				job.DeletionTimestamp, job.Finalizers = new(statetest.At(30)), []string{"example.com/audit"}
			})
			p.onPod(corev1.PodSucceeded, statetest.Ended(0, statetest.Copied))
			p.onJob(func(job *batchv1.Job) { job.Status.Active = 0 })
			p.recorded(pullstate.Record{Ran: true, Ended: true, Outcome: statetest.Copied})
			p.ends(batchv1.JobComplete, "")
			p.podGone()
			p.jobGone()
		}),
		"is deleted between attempts": make(func(p *past) {
			p.runs()
			p.onPod(corev1.PodFailed, statetest.Ended(1, statetest.Network))
			p.recorded(pullstate.Record{Ran: true, Ended: true, Outcome: statetest.Network, LogTail: tail})
			p.jobGone()
			p.podGone()
		}),
	}
}

// Without Redis each replica watches for itself, and only the one that is asked to cancel a pull knows of it at once.
func TestReplicasWithoutRedisPublishTheSameEnd(t *testing.T) {
	api := newAPI(t)
	replicas := []*replica{newReplica(t, api, "a", 10), newReplica(t, api, "b", 10)}
	a, b := replicas[0], replicas[1]
	started := a.start(t, "nginx:1", "nginx:2", "nginx:3", "nginx:4")
	canceled, succeeded, failed, lost := started[0].ID, started[1].ID, started[2].ID, started[3].ID
	pods := map[string]*corev1.Pod{}
	for _, state := range started {
		a.await(t, state.ID, phase(pull.Pending))
		pods[state.ID] = a.runPod(t, state.ID, corev1.PodRunning, *statetest.Running())
		report(t, api, pods[state.ID], 30, 60)
		for _, r := range replicas {
			r.await(t, state.ID, func(state *pull.State) bool { return state.Progress.Percent == 50 })
		}
	}
	if _, err := b.pulls.Cancel(t.Context(), canceled); err != nil {
		t.Fatal(err)
	}
	a.setPod(t, pods[succeeded], corev1.PodSucceeded, *statetest.Ended(0, statetest.Copied))
	a.finish(t, succeeded, batchv1.JobComplete, "")
	a.setPod(t, pods[failed], corev1.PodFailed, *statetest.Ended(3, statetest.NotFound))
	a.finish(t, failed, batchv1.JobFailed, "PodFailurePolicy")
	a.deleteJob(t, lost)
	for _, state := range started {
		var ends [][]byte
		for _, r := range replicas {
			end := *r.await(t, state.ID, func(state *pull.State) bool { return state.Phase.Final() })
			end.Position = pull.Position{}
			text, err := end.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			ends = append(ends, text)
		}
		if !bytes.Equal(ends[0], ends[1]) {
			t.Errorf("%s ended as\n%+v and\n%+v", state.ID, a.hub.Latest(state.ID), b.hub.Latest(state.ID))
		}
	}
}

// writes returns what the copier of a pod has written after upTo changes of the history: a line for each change of its pod since
// it runs.
func (h history) writes(pod *corev1.Pod, upTo int) (log pullstate.Log) {
	ran := false
	for i, e := range h[:upTo] {
		if e.pod == nil || e.pod.UID != pod.UID {
			continue
		}
		if copier := pullstate.CopierStatus(e.pod); copier != nil && copier.State.Running != nil {
			ran = true
		}
		if ran {
			line := pull.Report{Time: statetest.Epoch.Add(time.Duration(i) * time.Second), Message: fmt.Sprint("step ", i), BytesDone: int64(i), BytesTotal: new(int64(900))}
			log.Add([]byte(line.String()))
		}
	}
	return log
}

// readLogs reads the copiers' logs that the Tracker wants.
func (o *onlooker) readLogs() {
	for _, pod := range o.tracker.unreadPods() {
		log := o.history.writes(pod, o.pods)
		log.Complete = pullstate.CopierStatus(pod).State.Terminated != nil
		o.tracker.observeLog(pod, log)
	}
}

// Replicas begin to watch at different moments, list pods and Jobs at different ones, have other clocks, and read the copier's
// log or cannot.
func TestStatesOfOneRevisionAreEqualOnAllReplicas(t *testing.T) {
	for name, p := range pasts() {
		t.Run(name, func(t *testing.T) {
			published := map[string][]byte{}
			compare := func(state *pull.State) {
				same := *state
				same.Position = pull.Position{}
				b, err := same.AppendBinary(nil)
				if err != nil {
					t.Fatal(err)
				}
				key := fmt.Sprint(state.Revision)
				if other, known := published[key]; known && !bytes.Equal(b, other) {
					var is pull.State
					_ = is.UnmarshalBinary(other)
					t.Errorf("two states of revision %s:\n%+v\n%+v", key, is, same)
				}
				published[key] = b
			}
			var last *pull.State
			replicas := 0
			for pods := range p.history {
				for jobs := pods; jobs < len(p.history); jobs++ {
					for _, reads := range []bool{true, false} {
						replicas++
						f := newKeepingHub(fmt.Sprint(replicas))
						now := statetest.Epoch.Add(time.Duration(replicas) * time.Hour)
						o := p.history.join(f, func() time.Time { return now }, pods, jobs)
						o.seeAll(reads)
						now = now.Add(maxFinalDelay)
						o.tracker.publishDelayed()
						for _, state := range f.states[p.Job.Name] {
							compare(state)
							if !state.Phase.Final() {
								compare(pull.LostState(state)) // as a replica publishes it that learns nothing more
								continue
							}
							if lost := state.Lost(); lost != state.FinishedAt.IsZero() {
								t.Errorf("finished at %s: %+v", state.FinishedAt, state)
							}
							if last != nil && !state.Lost() && !last.Same(state) {
								t.Errorf("two ends:\n%+v\n%+v", last, state)
							}
							last = state
						}
					}
				}
			}
			if last == nil {
				t.Error("no end was published")
			}
		})
	}
}
