package kube

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) metav1.Time {
	return metav1.NewTime(epoch.Add(time.Duration(seconds) * time.Second))
}

// world is a pull's Job, its pods and their logs, built step by step.
type world struct {
	job  *batchv1.Job
	pods []*corev1.Pod
	logs map[types.UID]copierLog
}

func newWorld() *world {
	return &world{
		job: &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{
				Name: "nginx-1-27-0123abcd-1", UID: "job", ResourceVersion: "100", CreationTimestamp: at(0),
				Labels: map[string]string{labelManagedBy: managedBy, labelKey: "0123abcd"},
				Annotations: map[string]string{
					annotationImage:       "docker.io/library/nginx:1.27",
					annotationDestination: "harbor.example/mirror/library/nginx:1.27",
					annotationCreated:     epoch.Format(time.RFC3339Nano),
				},
			},
			Spec: batchv1.JobSpec{Suspend: new(false), ActiveDeadlineSeconds: new(int64(60))},
		},
		logs: map[types.UID]copierLog{},
	}
}

func (w *world) condition(kind batchv1.JobConditionType, reason, message string) *world {
	w.job.Status.Conditions = append(w.job.Status.Conditions, batchv1.JobCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: at(50),
	})
	return w
}

// pod adds an attempt that was created that many seconds after the epoch.
func (w *world) pod(seconds int, phase corev1.PodPhase, state *corev1.ContainerState) *world {
	uid := types.UID("pod-" + string(rune('a'+len(w.pods))))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: string(uid), UID: uid, ResourceVersion: "200", CreationTimestamp: at(seconds),
		Labels: map[string]string{jobNameLabel: w.job.Name},
	}}
	pod.Status.Phase = phase
	if state != nil {
		pod.Spec.NodeName = "node"
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pull.ContainerName, State: *state}}
	}
	w.pods = append(w.pods, pod)
	return w
}

func (w *world) log(done, total, rate int64, message string) *world {
	w.logs[w.pods[len(w.pods)-1].UID] = copierLog{
		last: pull.Report{Time: epoch.Add(time.Minute), Message: message, BytesDone: done, BytesTotal: &total, BytesPerSecond: rate},
		tail: []string{"first", message},
	}
	return w
}

func (w *world) record(r record) *world {
	text, _ := json.Marshal(r)
	w.job.Annotations[annotationRecord] = string(text)
	return w
}

func (w *world) state(t *testing.T) *pull.Job {
	t.Helper()
	id, err := identify(w.job)
	if err != nil {
		t.Fatal(err)
	}
	return stateOf(id, w.job, w.pods, w.logs)
}

func waiting(reason, message string) *corev1.ContainerState {
	return &corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func running() *corev1.ContainerState {
	return &corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(5)}}
}

func ended(code int32, outcome pull.Outcome) *corev1.ContainerState {
	text, _ := json.Marshal(outcome)
	return &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Message: string(text), StartedAt: at(5), FinishedAt: at(40), Reason: "Error",
	}}
}

// outOfSight is what the kubelet says of a container that was to start when its pod was stopped.
func outOfSight() *corev1.ContainerState {
	return &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was terminated",
	}}
}

var (
	notFound = pull.Outcome{Reason: pull.NotFound, Message: "the source does not have it"}
	network  = pull.Outcome{Reason: pull.Network, Message: "connection reset"}
	copied   = pull.Outcome{Digest: "sha256:" + strings.Repeat("a", 64), BytesTotal: 900, BytesCopied: 900}
)

func TestPhase(t *testing.T) {
	for name, c := range map[string]struct {
		world    *world
		phase    pull.Phase
		message  string
		attempts int
	}{
		"suspended": {
			func() *world { w := newWorld(); w.job.Spec.Suspend = new(true); return w }(),
			pull.Queued, "Waits for a free slot.", 0,
		},
		"no pod yet":            {newWorld(), pull.Pending, "Waits for its pod", 0},
		"pod without a node":    {newWorld().pod(1, corev1.PodPending, nil), pull.Pending, "Waits for a node", 0},
		"container is created":  {newWorld().pod(1, corev1.PodPending, waiting("ContainerCreating", "")), pull.Pending, "Waits for its container", 0},
		"image cannot be had":   {newWorld().pod(1, corev1.PodPending, waiting("ImagePullBackOff", `Back-off pulling image "x": not found`)), pull.Pending, "ImagePullBackOff: Back-off", 0},
		"copier runs, no line":  {newWorld().pod(1, corev1.PodRunning, running()), pull.Pulling, "Copying has started.", 1},
		"copier runs":           {newWorld().pod(1, corev1.PodRunning, running()).log(10, 100, 5, "Copying 100 B"), pull.Pulling, "Copying 100 B", 1},
		"copied, Job not final": {newWorld().pod(1, corev1.PodSucceeded, ended(0, copied)).log(900, 900, 0, "Copied"), pull.Pulling, "Copied", 1},
		"pod failed":            {newWorld().pod(1, corev1.PodFailed, ended(1, network)), pull.Retrying, "Attempt 1 failed, another will start: connection reset", 1},
		"pod failed for good":   {newWorld().pod(1, corev1.PodFailed, ended(3, notFound)), pull.Pulling, "Failed, ending: the source", 1},
		"last attempt failed": {
			newWorld().condition(batchv1.JobFailureTarget, "BackoffLimitExceeded", "").pod(1, corev1.PodFailed, ended(1, network)),
			pull.Pulling, "Failed, ending: connection reset", 1,
		},
		"next pod starts": {
			newWorld().pod(1, corev1.PodFailed, ended(1, network)).pod(20, corev1.PodPending, waiting("ContainerCreating", "")),
			pull.Retrying, "Attempt 2 is starting", 1,
		},
		"next pod runs":      {newWorld().pod(1, corev1.PodFailed, ended(1, network)).pod(20, corev1.PodRunning, running()), pull.Pulling, "Copying", 2},
		"failed pod is gone": {newWorld().record(record{Pod: "gone", Attempts: 1, Ran: true, Outcome: network}), pull.Retrying, "Attempt 1 failed, another will start: connection reset", 1},
		"copied, its pod is gone": {
			newWorld().record(record{Pod: "gone", Attempts: 1, Ran: true, Ended: true, Outcome: copied}), pull.Pulling, "Copying has ended.", 1,
		},
		"the Job tells of the pod's end before the pod does": {
			newWorld().pod(1, corev1.PodRunning, running()).record(record{Pod: "pod-a", Attempts: 1, Ran: true, Ended: true, Outcome: network}),
			pull.Retrying, "Attempt 1 failed, another will start: connection reset", 1,
		},
		"pod is stopped before its copier has started": {
			newWorld().pod(1, corev1.PodFailed, outOfSight()).record(record{Pod: "pod-a", Outcome: notFound}), pull.Pending, "the source does not have it", 0,
		},
		"pods are not in order": {func() *world {
			w := newWorld().pod(20, corev1.PodRunning, running()).pod(1, corev1.PodFailed, ended(1, network))
			return w
		}(), pull.Pulling, "Copying", 2},
		"many failed, not final":    {func() *world { w := newWorld().pod(1, corev1.PodRunning, running()); w.job.Status.Failed = 3; return w }(), pull.Pulling, "Copying", 1},
		"SuccessCriteriaMet only":   {newWorld().condition(batchv1.JobSuccessCriteriaMet, "", "").pod(1, corev1.PodRunning, running()), pull.Pulling, "Copying", 1},
		"complete":                  {newWorld().condition(batchv1.JobComplete, "", "").pod(1, corev1.PodSucceeded, ended(0, copied)), pull.Succeeded, "Copied 900 B: sha256:aaa", 1},
		"complete, pod is gone":     {newWorld().condition(batchv1.JobComplete, "", "").record(record{Pod: "gone", Attempts: 2, Ran: true, Outcome: copied}), pull.Succeeded, "Copied 900 B", 2},
		"complete, nothing is left": {newWorld().condition(batchv1.JobComplete, "", ""), pull.Succeeded, "Copied.", 0},
		"canceled": {func() *world {
			w := newWorld().pod(1, corev1.PodRunning, running())
			w.job.Annotations[annotationCanceled] = epoch.Format(time.RFC3339Nano)
			w.job.Annotations[annotationCanceledState] = `{"attempts":2}`
			return w
		}(), pull.Canceled, "Canceled.", 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.world.state(t)
			if s.Phase != c.phase || !strings.Contains(s.Message, c.message) || s.Attempts != c.attempts {
				t.Errorf("%s %q after %d attempts; want %s %q after %d", s.Phase, s.Message, s.Attempts, c.phase, c.message, c.attempts)
			}
			if s.Phase.Final() != !s.FinishedAt.IsZero() {
				t.Errorf("phase %s, finished at %v", s.Phase, s.FinishedAt)
			}
			if (s.Failure != nil) != (s.Phase == pull.Failed) {
				t.Errorf("phase %s, failure %v", s.Phase, s.Failure)
			}
			slices.Reverse(c.world.pods)
			if again := c.world.state(t); !s.Same(again) || again.Revision != s.Revision || !again.UpdatedAt.Equal(s.UpdatedAt) {
				t.Errorf("the order of pods changes the state:\n%+v\n%+v", s, again)
			}
		})
	}
}

func TestFailure(t *testing.T) {
	failed := func(reason string) *world {
		return newWorld().condition(batchv1.JobFailed, reason, "what the controller says")
	}
	for name, c := range map[string]struct {
		world   *world
		reason  pull.FailureReason
		message string
		tail    int
	}{
		"policy: will never work": {failed("PodFailurePolicy").pod(1, corev1.PodFailed, ended(3, notFound)).log(0, 0, 0, "x"), pull.NotFound, "the source does not have it", 2},
		"all attempts failed":     {failed("BackoffLimitExceeded").pod(1, corev1.PodFailed, ended(1, network)), pull.Network, "connection reset", 0},
		"pods are gone":           {failed("BackoffLimitExceeded").record(record{Pod: "gone", Ran: true, Outcome: network, LogTail: []string{"a", "b", "c"}}), pull.Network, "connection reset", 3},
		"tail is on the Job only": {failed("BackoffLimitExceeded").pod(1, corev1.PodFailed, ended(1, network)).record(record{Pod: "pod-a", Ran: true, Outcome: network, LogTail: []string{"a"}}), pull.Network, "connection reset", 1},
		"deadline while copying":  {failed("DeadlineExceeded").pod(1, corev1.PodFailed, ended(1, network)), pull.Timeout, "deadline of 1m0s. The last attempt: connection reset", 0},
		"deadline, nothing known": {failed("DeadlineExceeded"), pull.Timeout, "Did not finish within its deadline of 1m0s.", 0},
		"deadline, never started": {
			failed("DeadlineExceeded").record(record{Pod: "gone", Outcome: pull.Outcome{Reason: pull.NotFound, Message: "The copier cannot start: ImagePullBackOff: x: not found"}}),
			pull.NotFound, "Never started within its deadline of 1m0s. The copier cannot start: ImagePullBackOff", 0,
		},
		"deadline, the pod does not tell any more": {
			failed("DeadlineExceeded").pod(1, corev1.PodFailed, outOfSight()).record(record{Pod: "pod-a", Outcome: notFound}),
			pull.NotFound, "Never started within its deadline of 1m0s. the source does not have it", 0,
		},
		"deadline, the next attempt never started": {
			failed("DeadlineExceeded").record(record{Pod: "gone", Attempts: 1, Outcome: pull.Outcome{Reason: pull.NotFound, Message: "The copier cannot start: x"}}),
			pull.Timeout, "Did not finish within its deadline of 1m0s. The last attempt: The copier cannot start", 0,
		},
		"killed for memory": {failed("BackoffLimitExceeded").pod(1, corev1.PodFailed, &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", StartedAt: at(5)}}), pull.Unknown, "out of memory", 0},
		"crashed":           {failed("BackoffLimitExceeded").pod(1, corev1.PodFailed, &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error", StartedAt: at(5)}}), pull.Unknown, "exit code 2", 0},
		"no such program":   {failed("BackoffLimitExceeded").pod(1, corev1.PodFailed, &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "exec: mirror: not found"}}), pull.Invalid, "could not be started (StartError): exec", 0},
		"evicted": {func() *world {
			w := failed("BackoffLimitExceeded").pod(1, corev1.PodFailed, nil)
			w.pods[0].Status.Reason, w.pods[0].Status.Message = "Evicted", "The node was low on resource: ephemeral-storage."
			return w
		}(), pull.DiskFull, "(Evicted): The node was low", 0},
		"reason of the controller": {failed("SomethingNew"), pull.Unknown, "what the controller says", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.world.state(t)
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
	s := newWorld().condition(batchv1.JobFailed, "BackoffLimitExceeded", strings.Repeat("ä", 5000)).state(t)
	if n := len(s.Failure.Message); n > pull.MaxFailureMessage || n < pull.MaxFailureMessage-1 {
		t.Errorf("%d bytes", n)
	}
}

func TestClassifyWaiting(t *testing.T) {
	for _, c := range []struct {
		reason, message string
		want            pull.FailureReason
	}{
		{"ContainerCreating", "", ""},
		{"PodInitializing", "", ""},
		{"ErrImagePull", `failed to pull and unpack image "10.0.0.1:5000/x:1": failed to resolve reference: 10.0.0.1:5000/x:1: not found`, pull.NotFound},
		{"ImagePullBackOff", `Back-off pulling image "x": ErrImagePull: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`, pull.Unauthorized},
		{"ImagePullBackOff", `toomanyrequests: You have reached your unauthenticated pull rate limit`, pull.RateLimited},
		{"ErrImagePull", `no match for platform in manifest: not found`, pull.NoPlatform},
		{"ErrImagePull", `tls: failed to verify certificate: x509: certificate signed by unknown authority`, pull.TLS},
		{"ErrImagePull", `http: server gave HTTP response to HTTPS client`, pull.TLS},
		{"ErrImagePull", `dial tcp 10.0.0.1:5000: connect: connection refused`, pull.Network},
		{"ErrImagePull", `RegistryUnavailable: x`, pull.Network},
		{"ErrImagePull", `write /var/lib/x: no space left on device`, pull.DiskFull},
		{"ErrImagePull", `SignatureValidationFailed: x`, pull.Invalid},
		{"ErrImagePull", `something new`, pull.Unknown},
		// What somebody has called an image, a project or a host says nothing.
		{"ErrImagePull", `failed to resolve reference "harbor.test/certificate-manager:1": harbor.test/certificate-manager:1: not found`, pull.NotFound},
		{"ErrImagePull", `failed to pull image "certificate": not found`, pull.NotFound},
		{"ErrImagePull", `Head "https://r.test/v2/forbidden/manifests/unauthorized": dial tcp 10.0.0.1:443: connect: connection refused`, pull.Network},
		{"ErrImagePull", `dial tcp: lookup certificate on 10.0.0.1:53: no such host`, pull.Network},
		{"ErrImagePull", `pulling from host rate-limit.test failed with status code [manifests 1]: 500 Internal Server Error`, pull.Network},
		{"ErrImagePull", `manifest for team/ephemeral-storage:forbidden not found: manifest unknown`, pull.NotFound},
		{"ErrImagePull", `repository unauthorized not found: name unknown`, pull.NotFound},
		{"ErrImagePull", `failed to authorize: unexpected status from GET request to https://auth.test/token?scope=repository%3Atls: 401 Unauthorized`, pull.Unauthorized},
		{"InvalidImageName", `couldn't parse image name`, pull.Invalid},
		{"ErrImageNeverPull", `image is not present`, pull.NotFound},
		{"ImageInspectError", `x`, pull.Unknown},
		{"CreateContainerConfigError", `secret "x" not found`, pull.Invalid},
		{"CreateContainerError", `no space left on device`, pull.DiskFull},
	} {
		got := classifyWaiting(&corev1.ContainerStateWaiting{Reason: c.reason, Message: c.message})
		if got.Reason != c.want {
			t.Errorf("%s %q: %s, want %s", c.reason, c.message, got.Reason, c.want)
		}
		if c.want != "" && !strings.Contains(got.Message, c.message) {
			t.Errorf("%s %q: message %q loses what was said", c.reason, c.message, got.Message)
		}
	}
}

func TestUnschedulable(t *testing.T) {
	w := newWorld().pod(1, corev1.PodPending, nil)
	w.pods[0].Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available",
	}}
	if s := w.state(t); s.Phase != pull.Pending || !strings.Contains(s.Message, "0/3 nodes are available") {
		t.Errorf("%s %q", s.Phase, s.Message)
	}
	if rec := evidence(w.pods[0], copierLog{}); rec == nil || rec.Outcome.Reason != pull.Unschedulable || rec.Ran {
		t.Errorf("evidence %+v", rec)
	}
}

func TestProgress(t *testing.T) {
	p := newWorld().pod(1, corev1.PodRunning, running()).log(250, 1000, 100, "x").state(t).Progress
	if p.Percent != 25 || p.BytesDone != 250 || *p.BytesTotal != 1000 || *p.BytesPerSecond != 100 || *p.SecondsLeft != 8 {
		t.Errorf("%+v", p)
	}
	p = newWorld().pod(1, corev1.PodRunning, running()).log(1000, 1000, 0, "x").state(t).Progress
	if p.Percent != 99 || p.BytesPerSecond != nil || p.SecondsLeft != nil {
		t.Errorf("all bytes are there but the pull has not succeeded: %+v", p)
	}
	s := newWorld().condition(batchv1.JobComplete, "", "").pod(1, corev1.PodSucceeded, ended(0, copied)).state(t)
	if s.Progress.Percent != 100 || s.Progress.BytesDone != 900 || *s.Progress.BytesTotal != 900 || *s.Destination.Digest != copied.Digest {
		t.Errorf("succeeded: %+v, digest %v", s.Progress, s.Destination.Digest)
	}
}

// Until the next attempt runs, the last one's progress is told, also by a replica that has never read its log.
func TestProgressStaysAfterAnAttempt(t *testing.T) {
	total := int64(1000)
	rec := record{Pod: "pod-a", Attempts: 1, Ran: true, Outcome: network, Last: pull.Report{BytesDone: 250, BytesTotal: &total}}
	for name, w := range map[string]*world{
		"pod failed":             newWorld().pod(1, corev1.PodFailed, ended(1, network)).log(250, 1000, 9, "x"),
		"log is not read":        newWorld().pod(1, corev1.PodFailed, ended(1, network)).record(rec),
		"pod is gone":            newWorld().record(rec),
		"next pod starts":        newWorld().pod(1, corev1.PodFailed, ended(1, network)).log(250, 1000, 9, "x").pod(20, corev1.PodPending, nil),
		"next pod, first unread": newWorld().pod(1, corev1.PodFailed, ended(1, network)).pod(20, corev1.PodPending, nil).record(rec),
		"failed":                 newWorld().condition(batchv1.JobFailed, "BackoffLimitExceeded", "").pod(1, corev1.PodFailed, ended(1, network)).record(rec),
	} {
		if p := w.state(t).Progress; p.Percent != 25 || p.BytesDone != 250 || p.BytesTotal == nil || p.BytesPerSecond != nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestRevisionGrows(t *testing.T) {
	w := newWorld()
	before := w.state(t).Revision
	for _, step := range []func(){
		func() { w.pod(1, corev1.PodRunning, running()) },
		func() { w.log(1, 100, 1, "x") },
		func() { w.job.ResourceVersion = "201"; w.condition(batchv1.JobComplete, "", "") },
	} {
		step()
		after := w.state(t).Revision
		if before.Compare(after) >= 0 {
			t.Errorf("%v does not stand before %v", before, after)
		}
		before = after
	}
}

func TestIdentifyRefusesForeignJobs(t *testing.T) {
	if _, err := identify(&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "x", Labels: map[string]string{labelManagedBy: managedBy}}}); err == nil {
		t.Error("a Job without an image is no pull")
	}
}

func TestConfirmedSaysWhetherTheCopyWasReadBack(t *testing.T) {
	hidden := copied
	hidden.Unconfirmed = "The destination registry d.test rejects d.test/a: hidden by policy"
	complete := func() *world { return newWorld().condition(batchv1.JobComplete, "", "") }
	for name, c := range map[string]struct {
		world *world
		want  *bool
		words string
	}{
		"read back":     {complete().pod(1, corev1.PodSucceeded, ended(0, copied)), new(true), ""},
		"not read back": {complete().pod(1, corev1.PodSucceeded, ended(0, hidden)), new(false), "could not be read back: The destination registry d.test rejects d.test/a: hidden by policy"},
		"not known":     {complete(), nil, ""},
		"not over":      {newWorld().pod(1, corev1.PodRunning, running()).log(900, 900, 0, "Reading back"), nil, ""},
		"pod is gone":   {complete().record(record{Pod: "gone", Attempts: 1, Ran: true, Outcome: hidden}), new(false), "hidden by policy"},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.world.state(t)
			if (got.Confirmed == nil) != (c.want == nil) || (c.want != nil && *got.Confirmed != *c.want) || !strings.Contains(got.Message, c.words) {
				t.Errorf("confirmed %v, message %q", got.Confirmed, got.Message)
			}
		})
	}
}

func TestImageDigestIsToldWhenItIsKnown(t *testing.T) {
	was, is := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	found := func(w *world, digest string) *world {
		uid := w.pods[len(w.pods)-1].UID
		log := w.logs[uid]
		log.last.Image = digest
		w.logs[uid] = log
		return w
	}
	runs := func(w *world) *world { return w.pod(2, corev1.PodRunning, running()).log(1, 100, 5, "Copying") }
	failedBefore := record{Pod: "gone", Attempts: 1, Ran: true, Outcome: pull.Outcome{Reason: pull.Network, Message: "x", Image: was}}
	done := copied
	done.Image = is
	for name, c := range map[string]struct {
		world  *world
		digest string
		moved  bool
	}{
		"not yet":                       {runs(newWorld()), "", false},
		"while it runs":                 {found(runs(newWorld()), was), was, false},
		"between attempts":              {newWorld().record(failedBefore), was, false},
		"same as in the attempt before": {found(runs(newWorld().record(failedBefore)), was), was, false},
		"moved since":                   {found(runs(newWorld().record(failedBefore)), is), is, true},
		"next attempt reads yet":        {runs(newWorld().record(failedBefore)), was, false},
		"moved, and over": {newWorld().condition(batchv1.JobComplete, "", "").
			record(record{Pod: "gone", Attempts: 2, Ran: true, Outcome: done, Before: was}), is, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.world.state(t)
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

func TestRecordKeepsWhatTheAttemptBeforeFound(t *testing.T) {
	was := "sha256:" + strings.Repeat("a", 64)
	old := record{Pod: "gone", Attempts: 1, Ran: true, Ended: true, Outcome: pull.Outcome{Reason: pull.Network, Message: "x", Image: was}}
	done := copied
	done.Image = copied.Digest
	w := newWorld().record(old).pod(1, corev1.PodSucceeded, ended(0, done))
	tr := &tracked{job: w.job, pods: map[types.UID]*corev1.Pod{w.pods[0].UID: w.pods[0]}, logs: w.logs, state: w.state(t)}
	if rec := newRecord(tr); rec == nil || rec.Before != was {
		t.Errorf("record %+v, want the digest %s before", rec, was)
	}
}

// An upload that fails is taken back from the bytes, and the percentage is promised never to fall.
func TestPercentDoesNotFallWithTheBytes(t *testing.T) {
	total := int64(1000)
	p := progressOf(pull.Report{BytesDone: 100, BytesBest: 600, BytesTotal: &total}, true)
	if p.Percent != 60 || p.BytesDone != 100 {
		t.Errorf("%+v, want 60 percent with 100 bytes", p)
	}
}

// What a client was told of a pull does not become less when the pull is canceled.
func TestCanceledPullKeepsHowFarItWas(t *testing.T) {
	w := newWorld().pod(1, corev1.PodRunning, running())
	w.job.Annotations[annotationCanceled] = epoch.Format(time.RFC3339Nano)
	w.job.Annotations[annotationCanceledState] = `{"attempts":1,"percent":60,"last":{"image":"sha256:abc","bytesDone":40,"bytesTotal":100}}`
	s := w.state(t)
	if s.Progress.Percent != 60 || s.Progress.BytesDone != 40 || s.Image.Digest == nil || *s.Image.Digest != "sha256:abc" {
		t.Errorf("%+v of %+v", s.Progress, s.Image)
	}
}
