// Package statetest builds the Jobs, pods and logs of pulls for tests, as Kubernetes and the copier leave them.
package statetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// Epoch is when the pull of a World was made.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// At returns the time that many seconds after Epoch.
func At(seconds int) metav1.Time {
	return metav1.NewTime(Epoch.Add(time.Duration(seconds) * time.Second))
}

// World is a pull's Job, its pods and their logs, built step by step.
type World struct {
	Job  *batchv1.Job
	Pods []*corev1.Pod
	Logs map[types.UID]pullstate.Log
}

// New returns a World with a Job that has left the queue and has no pods yet.
func New() *World {
	return &World{
		Job: &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{
				Name: "nginx-1-27-0123abcd-1", UID: "job", ResourceVersion: "100", CreationTimestamp: At(0),
				Annotations: map[string]string{
					pullstate.AnnotationImage:       "docker.io/library/nginx:1.27",
					pullstate.AnnotationDestination: "harbor.example/mirror/library/nginx:1.27",
					pullstate.AnnotationCreated:     Epoch.Format(time.RFC3339Nano),
				},
			},
			Spec: batchv1.JobSpec{Suspend: new(false), ActiveDeadlineSeconds: new(int64(60))},
		},
		Logs: map[types.UID]pullstate.Log{},
	}
}

// Condition adds a condition to the Job.
func (w *World) Condition(kind batchv1.JobConditionType, reason, message string) *World {
	w.Job.Status.Conditions = append(w.Job.Status.Conditions, batchv1.JobCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: At(50),
	})
	return w
}

// OwnPod gives a pod the owner and the labels that the Job controller gives the pods of a Job.
func OwnPod(pod *corev1.Pod, job *batchv1.Job) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[batchv1.JobNameLabel], pod.Labels[batchv1.ControllerUidLabel] = job.Name, string(job.UID)
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
}

// Pod adds an attempt whose pod was created that many seconds after Epoch.
func (w *World) Pod(seconds int, phase corev1.PodPhase, state *corev1.ContainerState) *World {
	uid := types.UID("pod-" + string(rune('a'+len(w.Pods))))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: string(uid), UID: uid, ResourceVersion: "200", CreationTimestamp: At(seconds),
	}}
	OwnPod(pod, w.Job)
	pod.Status.Phase = phase
	if state != nil {
		pod.Spec.NodeName = "node"
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pull.ContainerName, State: *state}}
	}
	w.Pods = append(w.Pods, pod)
	return w
}

// Log gives the newest pod a log.
func (w *World) Log(done, total, rate int64, message string) *World {
	w.Logs[w.Pods[len(w.Pods)-1].UID] = pullstate.Log{
		Last: pull.Report{Time: Epoch.Add(time.Minute), Message: message, BytesDone: done, BytesTotal: &total, BytesPerSecond: rate},
		Tail: []string{"first", message},
	}
	return w
}

// Record writes a record on the Job.
func (w *World) Record(r pullstate.Record) *World {
	text, _ := json.Marshal(r)
	w.Job.Annotations[pullstate.AnnotationRecord] = string(text)
	return w
}

// View returns the View of all objects.
func (w *World) View(t *testing.T) *pullstate.View {
	t.Helper()
	id, err := pullstate.Identify(w.Job)
	if err != nil {
		t.Fatal(err)
	}
	return pullstate.Read(id, w.Job, w.Pods, w.Logs)
}

// State returns the pull's state.
func (w *World) State(t *testing.T) *pull.State {
	t.Helper()
	return w.View(t).State()
}

// Waiting is the state of a copier that waits.
func Waiting(reason, message string) *corev1.ContainerState {
	return &corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

// Running is the state of a copier that runs.
func Running() *corev1.ContainerState {
	return &corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: At(5)}}
}

// Ended is the state of a copier that has ended.
func Ended(code int32, outcome pull.Outcome) *corev1.ContainerState {
	text, _ := json.Marshal(outcome)
	return &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Message: string(text), StartedAt: At(5), FinishedAt: At(40), Reason: "Error",
	}}
}

// StatusUnknown is what the kubelet says of a container that was to start when its pod was stopped.
func StatusUnknown() *corev1.ContainerState {
	return &corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was terminated",
	}}
}

// Outcomes of attempts.
var (
	NotFound = pull.Outcome{Reason: pull.NotFound, Message: "the source does not have it"}
	Network  = pull.Outcome{Reason: pull.Network, Message: "connection reset"}
	Copied   = pull.Outcome{Digest: "sha256:" + strings.Repeat("a", 64), BytesTotal: 900, BytesCopied: 900}
)
