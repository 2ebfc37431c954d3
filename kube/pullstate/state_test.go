package pullstate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

func TestThePhaseFollowsFromJobPodsAndRecord(t *testing.T) {
	for name, c := range map[string]struct {
		world    *statetest.World
		phase    pull.Phase
		message  string
		attempts int
	}{
		"suspended": {
			func() *statetest.World { w := statetest.New(); w.Job.Spec.Suspend = new(true); return w }(),
			pull.Queued, "Waits for a free slot.", 0,
		},
		"no pod yet":            {statetest.New(), pull.Pending, "Waits for its pod", 0},
		"pod without a node":    {statetest.New().Pod(1, corev1.PodPending, nil), pull.Pending, "Waits for a node", 0},
		"container is created":  {statetest.New().Pod(1, corev1.PodPending, statetest.Waiting("ContainerCreating", "")), pull.Pending, "Waits for its container", 0},
		"image cannot be had":   {statetest.New().Pod(1, corev1.PodPending, statetest.Waiting("ImagePullBackOff", `Back-off pulling image "x": not found`)), pull.Pending, "ImagePullBackOff: Back-off", 0},
		"copier runs, no line":  {statetest.New().Pod(1, corev1.PodRunning, statetest.Running()), pull.Pulling, "Copying has started.", 1},
		"copier runs":           {statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Log(10, 100, 5, "Copying 100 B"), pull.Pulling, "Copying 100 B", 1},
		"copied, Job not final": {statetest.New().Pod(1, corev1.PodSucceeded, statetest.Ended(0, statetest.Copied)).Log(900, 900, 0, "Copied"), pull.Pulling, "Copied", 1},
		"pod failed":            {statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)), pull.Retrying, "Attempt 1 failed, another will start: connection reset", 1},
		"pod failed for good":   {statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(3, statetest.NotFound)), pull.Pulling, "Failed, ending: the source", 1},
		"last attempt failed": {
			statetest.New().Condition(batchv1.JobFailureTarget, "BackoffLimitExceeded", "").Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)),
			pull.Pulling, "Failed, ending: connection reset", 1,
		},
		"next pod starts": {
			statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Pod(20, corev1.PodPending, statetest.Waiting("ContainerCreating", "")),
			pull.Retrying, "Attempt 2 is starting", 1,
		},
		"next pod runs":      {statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Pod(20, corev1.PodRunning, statetest.Running()), pull.Pulling, "Copying", 2},
		"failed pod is gone": {statetest.New().Record(pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Outcome: statetest.Network}), pull.Retrying, "Attempt 1 failed, another will start: connection reset", 1},
		"copied, its pod is gone": {
			statetest.New().Record(pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Copied}), pull.Pulling, "Copying has ended.", 1,
		},
		"the Job tells of the pod's end before the pod does": {
			statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Record(pullstate.Record{Pod: "pod-a", Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Network}),
			pull.Retrying, "Attempt 1 failed, another will start: connection reset", 1,
		},
		"the Job tells of an attempt whose pod is not known yet": {
			statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.NotFound)).
				Record(pullstate.Record{Pod: "pod-z", PodCreated: statetest.At(20).Time, Attempts: 2, Ran: true, Ended: true, Outcome: statetest.Network}),
			pull.Retrying, "Attempt 2 failed, another will start: connection reset", 2,
		},
		"the Job tells what an attempt waits for whose pod is not known yet": {
			statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).
				Record(pullstate.Record{Pod: "pod-z", PodCreated: statetest.At(20).Time, Attempts: 1, Outcome: statetest.NotFound}),
			pull.Retrying, "Attempt 2 is starting: the source does not have it", 1,
		},
		"the Job tells of an attempt before the one that runs": {
			statetest.New().Pod(20, corev1.PodRunning, statetest.Running()).
				Record(pullstate.Record{Pod: "gone", PodCreated: statetest.At(1).Time, Attempts: 1, Ran: true, Ended: true, Outcome: statetest.Network}),
			pull.Pulling, "Copying", 2,
		},
		"somebody has tampered with the record": {
			statetest.New().Pod(20, corev1.PodRunning, statetest.Running()).
				Record(pullstate.Record{Pod: "x", Attempts: -5, Ran: true, Outcome: pull.Outcome{Reason: "BOGUS", Message: "m"}}),
			pull.Pulling, "Copying", 1,
		},
		"pod is stopped before its copier has started": {
			statetest.New().Pod(1, corev1.PodFailed, statetest.StatusUnknown()).Record(pullstate.Record{Pod: "pod-a", Outcome: statetest.NotFound}), pull.Pending, "the source does not have it", 0,
		},
		"pods are not in order": {func() *statetest.World {
			w := statetest.New().Pod(20, corev1.PodRunning, statetest.Running()).Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network))
			return w
		}(), pull.Pulling, "Copying", 2},
		"many failed, not final": {func() *statetest.World {
			w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
			w.Job.Status.Failed = 3
			return w
		}(), pull.Pulling, "Copying", 1},
		"SuccessCriteriaMet only":   {statetest.New().Condition(batchv1.JobSuccessCriteriaMet, "", "").Pod(1, corev1.PodRunning, statetest.Running()), pull.Pulling, "Copying", 1},
		"complete":                  {statetest.New().Condition(batchv1.JobComplete, "", "").Pod(1, corev1.PodSucceeded, statetest.Ended(0, statetest.Copied)), pull.Succeeded, "Copied 900 B: sha256:aaa", 1},
		"complete, pod is gone":     {statetest.New().Condition(batchv1.JobComplete, "", "").Record(pullstate.Record{Pod: "gone", Attempts: 2, Ran: true, Outcome: statetest.Copied}), pull.Succeeded, "Copied 900 B", 2},
		"complete, nothing is left": {statetest.New().Condition(batchv1.JobComplete, "", ""), pull.Succeeded, "Copied.", 0},
		"canceled": {func() *statetest.World {
			w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
			w.Job.Annotations[pullstate.AnnotationCanceled] = statetest.Epoch.Format(time.RFC3339Nano)
			w.Job.Annotations[pullstate.AnnotationCanceledState] = `{"attempts":2}`
			return w
		}(), pull.Canceled, "Canceled.", 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.world.State(t)
			if s.Phase != c.phase || !strings.Contains(s.Message, c.message) || s.Attempts != c.attempts {
				t.Errorf("%s %q after %d attempts; want %s %q after %d", s.Phase, s.Message, s.Attempts, c.phase, c.message, c.attempts)
			}
			if s.Phase.Final() != !s.FinishedAt.IsZero() {
				t.Errorf("phase %s, finished at %v", s.Phase, s.FinishedAt)
			}
			if (s.Failure != nil) != (s.Phase == pull.Failed) {
				t.Errorf("phase %s, failure %v", s.Phase, s.Failure)
			}
			slices.Reverse(c.world.Pods)
			if again := c.world.State(t); !s.Same(again) || again.Revision != s.Revision || !again.UpdatedAt.Equal(s.UpdatedAt) {
				t.Errorf("the order of pods changes the state:\n%+v\n%+v", s, again)
			}
		})
	}
}

func TestAFailedPullSaysWhy(t *testing.T) {
	failed := func(reason string) *statetest.World {
		return statetest.New().Condition(batchv1.JobFailed, reason, "what the controller says")
	}
	for name, c := range map[string]struct {
		world   *statetest.World
		reason  pull.FailureReason
		message string
		tail    int
	}{
		"policy: will never work": {failed("PodFailurePolicy").Pod(1, corev1.PodFailed, statetest.Ended(3, statetest.NotFound)).Log(0, 0, 0, "x"), pull.NotFound, "the source does not have it", 2},
		"all attempts failed":     {failed("BackoffLimitExceeded").Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)), pull.Network, "connection reset", 0},
		"pods are gone":           {failed("BackoffLimitExceeded").Record(pullstate.Record{Pod: "gone", Ran: true, Outcome: statetest.Network, LogTail: []string{"a", "b", "c"}}), pull.Network, "connection reset", 3},
		"tail is on the Job only": {failed("BackoffLimitExceeded").Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Record(pullstate.Record{Pod: "pod-a", Ran: true, Outcome: statetest.Network, LogTail: []string{"a"}}), pull.Network, "connection reset", 1},
		"deadline while copying":  {failed("DeadlineExceeded").Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)), pull.Timeout, "deadline of 1m0s. The last attempt: connection reset", 0},
		"deadline, nothing known": {failed("DeadlineExceeded"), pull.Timeout, "Did not finish within its deadline of 1m0s.", 0},
		"deadline, never started": {
			failed("DeadlineExceeded").Record(pullstate.Record{Pod: "gone", Outcome: pull.Outcome{Reason: pull.NotFound, Message: "The copier cannot start: ImagePullBackOff: x: not found"}}),
			pull.NotFound, "Never started within its deadline of 1m0s. The copier cannot start: ImagePullBackOff", 0,
		},
		"deadline, the pod does not tell any more": {
			failed("DeadlineExceeded").Pod(1, corev1.PodFailed, statetest.StatusUnknown()).Record(pullstate.Record{Pod: "pod-a", Outcome: statetest.NotFound}),
			pull.NotFound, "Never started within its deadline of 1m0s. the source does not have it", 0,
		},
		"deadline, the next attempt never started": {
			failed("DeadlineExceeded").Record(pullstate.Record{Pod: "gone", Attempts: 1, Outcome: pull.Outcome{Reason: pull.NotFound, Message: "The copier cannot start: x"}}),
			pull.NotFound, "Did not finish within its deadline of 1m0s. The last attempt: The copier cannot start", 0,
		},
		"killed for memory": {failed("BackoffLimitExceeded").Pod(1, corev1.PodFailed, &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", StartedAt: statetest.At(5)}}), pull.OutOfMemory, "out of memory", 0},
		"crashed":           {failed("BackoffLimitExceeded").Pod(1, corev1.PodFailed, &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error", StartedAt: statetest.At(5)}}), pull.Unknown, "exit code 2", 0},
		"no such program":   {failed("BackoffLimitExceeded").Pod(1, corev1.PodFailed, &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "exec: mirror: not found"}}), pull.Invalid, "could not be started (StartError): exec", 0},
		"evicted": {func() *statetest.World {
			w := failed("BackoffLimitExceeded").Pod(1, corev1.PodFailed, nil)
			w.Pods[0].Status.Reason, w.Pods[0].Status.Message = "Evicted", "The node was low on resource: ephemeral-storage."
			return w
		}(), pull.DiskFull, "(Evicted) The node was low", 0},
		"reason of the controller": {failed("SomethingNew"), pull.Unknown, "what the controller says", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.world.State(t)
			if s.Phase != pull.Failed {
				t.Fatalf("phase %s", s.Phase)
			}
			if s.Failure.Reason != c.reason || !strings.Contains(s.Failure.Message, c.message) || len(s.Failure.LogTail) != c.tail {
				t.Errorf("%s %q with %d lines; want %s %q with %d", s.Failure.Reason, s.Failure.Message, len(s.Failure.LogTail), c.reason, c.message, c.tail)
			}
			if s.Failure.LogTail == nil || s.Failure.Remedy() == "" {
				t.Error("no tail or no remedy")
			}
		})
	}
}

func TestFailureMessageIsBounded(t *testing.T) {
	s := statetest.New().Condition(batchv1.JobFailed, "BackoffLimitExceeded", strings.Repeat("ä", 5000)).State(t)
	if n := len(s.Failure.Message); n > pull.MaxFailureMessage || n < pull.MaxFailureMessage-1 {
		t.Errorf("%d bytes", n)
	}
}

func TestAPullThatNoNodeCanRunSaysSo(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodPending, nil)
	w.Pods[0].Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available",
	}}
	if s := w.State(t); s.Phase != pull.Pending || !strings.Contains(s.Message, "0/3 nodes are available") {
		t.Errorf("%s %q", s.Phase, s.Message)
	}
	if rec := w.View(t).Unwritten(); rec == nil || rec.Outcome.Reason != pull.Unschedulable || rec.Ran {
		t.Errorf("evidence %+v", rec)
	}
}

func TestProgressIs100OnlyWhenThePullHasSucceeded(t *testing.T) {
	p := statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Log(250, 1000, 100, "x").State(t).Progress
	if p.Percent != 25 || p.BytesDone != 250 || *p.BytesTotal != 1000 || *p.BytesPerSecond != 100 || *p.SecondsLeft != 8 {
		t.Errorf("%+v", p)
	}
	p = statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Log(1000, 1000, 0, "x").State(t).Progress
	if p.Percent != 99 || p.BytesPerSecond != nil || p.SecondsLeft != nil {
		t.Errorf("all bytes are there but the pull has not succeeded: %+v", p)
	}
	s := statetest.New().Condition(batchv1.JobComplete, "", "").Pod(1, corev1.PodSucceeded, statetest.Ended(0, statetest.Copied)).State(t)
	if s.Progress.Percent != 100 || s.Progress.BytesDone != 900 || *s.Progress.BytesTotal != 900 || *s.Destination.Digest != statetest.Copied.Digest {
		t.Errorf("succeeded: %+v, digest %v", s.Progress, s.Destination.Digest)
	}
}

// Until the next attempt runs, the state has the last one's progress, also on a replica that has never read its log.
func TestProgressStaysBetweenAttempts(t *testing.T) {
	total := int64(1000)
	rec := pullstate.Record{Pod: "pod-a", Attempts: 1, Ran: true, Outcome: statetest.Network, Last: pull.Report{BytesDone: 250, BytesTotal: &total}}
	for name, w := range map[string]*statetest.World{
		"pod failed":             statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Log(250, 1000, 9, "x"),
		"log is not read":        statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Record(rec),
		"pod is gone":            statetest.New().Record(rec),
		"next pod starts":        statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Log(250, 1000, 9, "x").Pod(20, corev1.PodPending, nil),
		"next pod, first unread": statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Pod(20, corev1.PodPending, nil).Record(rec),
		"failed":                 statetest.New().Condition(batchv1.JobFailed, "BackoffLimitExceeded", "").Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Record(rec),
	} {
		if p := w.State(t).Progress; p.Percent != 25 || p.BytesDone != 250 || p.BytesTotal == nil || p.BytesPerSecond != nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestTheRevisionGrowsWithEachChange(t *testing.T) {
	w := statetest.New()
	before := w.State(t).Revision
	for _, step := range []func(){
		func() { w.Pod(1, corev1.PodRunning, statetest.Running()) },
		func() { w.Log(1, 100, 1, "x") },
		func() { w.Job.ResourceVersion = "201"; w.Condition(batchv1.JobComplete, "", "") },
	} {
		step()
		after := w.State(t).Revision
		if before.Compare(after) >= 0 {
			t.Errorf("%v does not stand before %v", before, after)
		}
		before = after
	}
}

func TestAForeignJobIsNoPull(t *testing.T) {
	if _, err := pullstate.Identify(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "x", Labels: map[string]string{"app.kubernetes.io/managed-by": "pullwatch"}}}); err == nil {
		t.Error("a Job without an image is no pull")
	}
}

func TestConfirmedSaysWhetherTheCopyWasReadBack(t *testing.T) {
	hidden := statetest.Copied
	hidden.Unconfirmed = "The destination registry d.test rejects d.test/a: hidden by policy"
	complete := func() *statetest.World { return statetest.New().Condition(batchv1.JobComplete, "", "") }
	for name, c := range map[string]struct {
		world *statetest.World
		want  *bool
		words string
	}{
		"read back":     {complete().Pod(1, corev1.PodSucceeded, statetest.Ended(0, statetest.Copied)), new(true), ""},
		"not read back": {complete().Pod(1, corev1.PodSucceeded, statetest.Ended(0, hidden)), new(false), "could not be read back: The destination registry d.test rejects d.test/a: hidden by policy"},
		"not known":     {complete(), nil, ""},
		"not over":      {statetest.New().Pod(1, corev1.PodRunning, statetest.Running()).Log(900, 900, 0, "Reading back"), nil, ""},
		"pod is gone":   {complete().Record(pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Outcome: hidden}), new(false), "hidden by policy"},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.world.State(t)
			if (got.Confirmed == nil) != (c.want == nil) || (c.want != nil && *got.Confirmed != *c.want) || !strings.Contains(got.Message, c.words) {
				t.Errorf("confirmed %v, message %q", got.Confirmed, got.Message)
			}
		})
	}
}

func TestTheImagesDigestIsKnownWhileItIsCopied(t *testing.T) {
	was, is := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	found := func(w *statetest.World, digest string) *statetest.World {
		uid := w.Pods[len(w.Pods)-1].UID
		log := w.Logs[uid]
		log.Last.Image = digest
		w.Logs[uid] = log
		return w
	}
	runs := func(w *statetest.World) *statetest.World {
		return w.Pod(2, corev1.PodRunning, statetest.Running()).Log(1, 100, 5, "Copying")
	}
	failedBefore := pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Outcome: pull.Outcome{Reason: pull.Network, Message: "x", Image: was}}
	done := statetest.Copied
	done.Image = is
	for name, c := range map[string]struct {
		world  *statetest.World
		digest string
		moved  bool
	}{
		"not yet":                       {runs(statetest.New()), "", false},
		"while it runs":                 {found(runs(statetest.New()), was), was, false},
		"between attempts":              {statetest.New().Record(failedBefore), was, false},
		"same as in the attempt before": {found(runs(statetest.New().Record(failedBefore)), was), was, false},
		"moved since":                   {found(runs(statetest.New().Record(failedBefore)), is), is, true},
		"next attempt reads yet":        {runs(statetest.New().Record(failedBefore)), was, false},
		"moved, and over": {statetest.New().Condition(batchv1.JobComplete, "", "").
			Record(pullstate.Record{Pod: "gone", Attempts: 2, Ran: true, Outcome: done, Before: was}), is, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.world.State(t)
			digest := ""
			if got.Image.Digest != nil {
				digest = *got.Image.Digest
			}
			if moved := strings.Contains(got.Message, "The tag has moved: an attempt before found "+was); digest != c.digest || moved != c.moved {
				t.Errorf("digest %q, message %q", digest, got.Message)
			}
		})
	}
}

func TestATagThatMovedBetweenAttemptsIsNotForgotten(t *testing.T) {
	was := "sha256:" + strings.Repeat("a", 64)
	old := pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Ended: true, Outcome: pull.Outcome{Reason: pull.Network, Message: "x", Image: was}}
	done := statetest.Copied
	done.Image = statetest.Copied.Digest
	w := statetest.New().Record(old).Pod(1, corev1.PodSucceeded, statetest.Ended(0, done))
	if rec := w.View(t).Unwritten(); rec == nil || rec.Before != was {
		t.Errorf("record %+v, want the digest %s before", rec, was)
	}
}

// Clients have seen that progress.
func TestCanceledPullKeepsHowFarItWas(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodRunning, statetest.Running())
	w.Job.Annotations[pullstate.AnnotationCanceled] = statetest.Epoch.Format(time.RFC3339Nano)
	w.Job.Annotations[pullstate.AnnotationCanceledState] = `{"attempts":1,"percent":60,"last":{"image":"sha256:abc","bytesDone":40,"bytesTotal":100}}`
	s := w.State(t)
	if s.Progress.Percent != 60 || s.Progress.BytesDone != 40 || s.Image.Digest == nil || *s.Image.Digest != "sha256:abc" {
		t.Errorf("%+v of %+v", s.Progress, s.Image)
	}
}

// The message says so while the pull runs, when it has ended, and when the attempt that found it has been followed by
// another one.
func TestTheMessageNamesTheImageThatIsReplaced(t *testing.T) {
	held := "sha256:" + strings.Repeat("b", 64)
	w := statetest.New().Pod(10, corev1.PodRunning, statetest.Running()).Log(1, 2, 0, "Copying")
	log := w.Logs["pod-a"]
	log.Last.Held = held
	w.Logs["pod-a"] = log
	if s := w.State(t); !strings.Contains(s.Message, "replaces "+held) {
		t.Errorf("while it runs: %q", s.Message)
	}
	killed := statetest.New().Record(pullstate.Record{Pod: "gone", Attempts: 1, Ran: true, Last: pull.Report{Held: held}}).
		Pod(20, corev1.PodRunning, statetest.Running())
	if s := killed.State(t); !strings.Contains(s.Message, "replaces "+held) {
		t.Errorf("after an attempt that was killed: %q", s.Message)
	}
	done := statetest.New().Condition(batchv1.JobComplete, "", "").Record(pullstate.Record{Pod: "pod-b", Ended: true, Ran: true, Held: held,
		Outcome: pull.Outcome{Digest: "sha256:1"}})
	if s := done.State(t); !strings.Contains(s.Message, "replaced "+held) {
		t.Errorf("after another attempt: %q", s.Message)
	}
}

// The pods of a Job that was deleted go some seconds after it, and the next pull of the image may get its name.
func TestAPullDoesNotBeginWithTheFailureOfAnEarlierOneOfItsName(t *testing.T) {
	w := statetest.New().Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network))
	w.Job.UID = "the next one"
	if s := w.State(t); s.Phase != pull.Pending || s.Attempts != 0 {
		t.Errorf("%s %q after %d attempts", s.Phase, s.Message, s.Attempts)
	}
	if rec := w.View(t).Unwritten(); rec != nil {
		t.Errorf("to be written on the Job: %+v", rec)
	}
}

// Kubernetes keeps when a pod was created in seconds. The leader must not write about the one, then about the other, for ever.
func TestOfTwoAttemptsMadeInTheSameSecondOneIsRecordedOnce(t *testing.T) {
	for _, reversed := range []bool{false, true} {
		w := statetest.New().Condition(batchv1.JobFailed, "BackoffLimitExceeded", "").
			Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.Network)).Pod(1, corev1.PodFailed, statetest.Ended(1, statetest.NotFound))
		for _, pod := range w.Pods {
			w.Logs[pod.UID] = pullstate.Log{Tail: []string{"x"}, Complete: true}
		}
		if reversed {
			slices.Reverse(w.Pods)
		}
		state, writes := w.State(t), 0
		for range 10 {
			if rec := w.View(t).Unwritten(); rec != nil {
				writes++
				w.Record(*rec)
			}
			slices.Reverse(w.Pods) // they come in no order
		}
		if writes != 1 {
			t.Errorf("%d records were written", writes)
		}
		if got := w.State(t); got.Attempts != 2 || got.Failure.Reason != state.Failure.Reason {
			t.Errorf("%+v, want %+v", got, state)
		}
	}
}

func TestOnlyAQueuedPullIsHeld(t *testing.T) {
	hold := func(w *statetest.World, held bool) *statetest.World {
		text, err := pullstate.Hold{Held: held, Time: statetest.At(30).Time}.Annotation()
		if err != nil {
			t.Fatal(err)
		}
		w.Job.Annotations[pullstate.AnnotationHold] = text
		return w
	}
	queued := func() *statetest.World {
		w := statetest.New()
		w.Job.Spec.Suspend = new(true)
		return w
	}
	held, released := hold(queued(), true).State(t), hold(queued(), false).State(t)
	if !held.Held || held.Phase != pull.Queued || !held.UpdatedAt.Equal(statetest.At(30).Time) {
		t.Errorf("held: %+v", held)
	}
	if released.Held || released.Message != pull.WaitsForSlot || !released.UpdatedAt.Equal(statetest.At(30).Time) {
		t.Errorf("released: %+v", released)
	}
	if runs := hold(statetest.New(), true).State(t); runs.Held || runs.Phase != pull.Pending {
		t.Errorf("somebody else started it: %+v", runs)
	}
	if lost := pull.LostState(held); lost.Held {
		t.Errorf("lost: %+v", lost)
	}
}
