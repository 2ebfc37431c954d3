package demo

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/util/retry"
)

// nodes are where pods run.
var nodes = []string{"demo-worker-1", "demo-worker-2", "demo-worker-3"}

// nodeFor returns the node that a pod runs on.
func nodeFor(pod *corev1.Pod) string {
	return nodes[sha256.Sum256([]byte(pod.UID))[0]%byte(len(nodes))]
}

// ownedBy returns the owner reference of a Job's pod.
func ownedBy(job *batchv1.Job) []metav1.OwnerReference {
	return []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
}

// createPod creates a pod that is not scheduled yet.
func (c *Cluster) createPod(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	created, err := c.client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create pod: %w", err)
	}
	return created, nil
}

// schedulePod plays the scheduler, and the kubelet that begins to create the pod's containers.
func (c *Cluster) schedulePod(ctx context.Context, pod *corev1.Pod, now time.Time) error {
	pods := c.client.CoreV1().Pods(pod.Namespace)
	if err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		current.Spec.NodeName = nodeFor(pod)
		_, err = pods.Update(ctx, current, metav1.UpdateOptions{})
		return err
	}); err != nil {
		return fmt.Errorf("schedule pod %s: %w", pod.Name, err)
	}
	return c.updatePod(ctx, pod, func(status *corev1.PodStatus) {
		status.StartTime = timeOf(now)
		setPodCondition(status, corev1.PodScheduled, corev1.ConditionTrue, "", "", now)
		status.InitContainerStatuses = creating(pod.Spec.InitContainers, "PodInitializing")
		reason := "ContainerCreating"
		if len(pod.Spec.InitContainers) > 0 {
			reason = "PodInitializing"
		}
		status.ContainerStatuses = creating(pod.Spec.Containers, reason)
	})
}

func creating(containers []corev1.Container, reason string) []corev1.ContainerStatus {
	var statuses []corev1.ContainerStatus
	for _, c := range containers {
		status := corev1.ContainerStatus{Name: c.Name, Image: c.Image, Started: new(false)}
		status.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason}
		statuses = append(statuses, status)
	}
	return statuses
}

// updatePod changes the status of a pod if it still exists.
func (c *Cluster) updatePod(ctx context.Context, pod *corev1.Pod, change func(*corev1.PodStatus)) error {
	pods := c.client.CoreV1().Pods(pod.Namespace)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(&current.Status)
		_, err = pods.UpdateStatus(ctx, current, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("update pod %s: %w", pod.Name, err)
	}
	return nil
}

// setPodCondition sets the condition of a type.
func setPodCondition(status *corev1.PodStatus, kind corev1.PodConditionType, value corev1.ConditionStatus,
	reason, message string, now time.Time,
) {
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
	status.Conditions = append(status.Conditions, corev1.PodCondition{
		Type: kind, Status: value, Reason: reason, Message: message, LastTransitionTime: *timeOf(now),
	})
}

// containerStatus returns the status of the container or init container of that name.
func containerStatus(status *corev1.PodStatus, name string) *corev1.ContainerStatus {
	for _, statuses := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses} {
		for i := range statuses {
			if statuses[i].Name == name {
				return &statuses[i]
			}
		}
	}
	panic("pod without a container " + name)
}

// newContainerID returns an ID for a container's next run, as containerd makes them.
func newContainerID() string {
	return fmt.Sprintf("containerd://%x", sha256.Sum256([]byte(uuid.NewUUID())))
}

// startContainer makes a container run under the ID given.
func startContainer(status *corev1.PodStatus, name, id string, now time.Time) {
	s := containerStatus(status, name)
	if s.LastTerminationState.Terminated != nil {
		s.RestartCount++
	}
	s.ContainerID, s.Ready, s.Started = id, true, new(true)
	s.ImageID = fmt.Sprintf("%s@sha256:%x", s.Image, sha256.Sum256([]byte(s.Image)))
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: *timeOf(now)}}
}

// endContainer ends a container's run.
func endContainer(status *corev1.PodStatus, name string, exit int32, message string, now time.Time) {
	s := containerStatus(status, name)
	ended := &corev1.ContainerStateTerminated{
		ExitCode: exit, Reason: "Completed", Message: message, ContainerID: s.ContainerID, FinishedAt: *timeOf(now),
	}
	if exit != 0 {
		ended.Reason = "Error"
	}
	if s.State.Running != nil {
		ended.StartedAt = s.State.Running.StartedAt
	}
	s.Ready, s.Started = false, new(false)
	s.State = corev1.ContainerState{Terminated: ended}
}

// waitContainer makes a container wait for a reason.
func waitContainer(status *corev1.PodStatus, name, reason, message string) {
	s := containerStatus(status, name)
	if s.State.Terminated != nil {
		s.LastTerminationState = s.State
	}
	s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}
