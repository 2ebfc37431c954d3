package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
)

// exitLost is the exit code of a copier whose pod was deleted: that of SIGKILL.
const exitLost = 137

// attempt plays one pod of the Job from its creation to its end. It returns the copier's exit code.
func (p *player) attempt(ctx context.Context, number int) (int32, error) {
	exit, err := p.playPod(ctx, number)
	if isGone(err) && ctx.Err() == nil && p.pod != nil {
		return exitLost, nil
	}
	return exit, err
}

func (p *player) playPod(ctx context.Context, number int) (int32, error) {
	template := p.job.Spec.Template
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: p.job.Name + "-", Namespace: p.job.Namespace,
			Labels: maps.Clone(template.Labels), Annotations: maps.Clone(template.Annotations),
			OwnerReferences: ownedBy(p.job),
		},
		Spec: *template.Spec.DeepCopy(),
	}
	if err := p.wait(ctx, 200*time.Millisecond); err != nil {
		return 0, err
	}
	var err error
	if p.pod, err = p.cluster.createPod(ctx, pod); err != nil {
		return 0, err
	}
	if err := p.update(ctx, func(status *batchv1.JobStatus) {
		status.Active, status.Ready, status.Terminating = 1, new(int32(0)), new(int32(0))
	}); err != nil {
		return 0, err
	}
	if p.behavior.unschedulable {
		return 0, p.stayUnschedulable(ctx)
	}
	if err := p.wait(ctx, 300*time.Millisecond); err != nil {
		return 0, err
	}
	if err := p.cluster.schedulePod(ctx, p.pod, p.now()); err != nil {
		return 0, err
	}
	if p.behavior.noCopier {
		return 0, p.stayWithoutImage(ctx)
	}
	if err := p.wait(ctx, 600*time.Millisecond); err != nil {
		return 0, err
	}
	return p.runCopier(ctx, number)
}

// stayUnschedulable plays a pod that never gets a node.
func (p *player) stayUnschedulable(ctx context.Context) error {
	const message = "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }, " +
		"2 Insufficient memory. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
	if err := p.wait(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	if err := p.cluster.updatePod(ctx, p.pod, func(status *corev1.PodStatus) {
		setPodCondition(status, corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, message, p.now())
	}); err != nil {
		return err
	}
	return p.untilDeadline(ctx)
}

// stayWithoutImage plays a pod whose copier image cannot be pulled.
func (p *player) stayWithoutImage(ctx context.Context) error {
	err := p.cluster.failImagePulls(ctx, p.pod, pull.ContainerName, func(d time.Duration) error { return p.wait(ctx, d) })
	if err != nil {
		return err
	}
	return p.untilDeadline(ctx)
}

func (p *player) untilDeadline(ctx context.Context) error {
	return p.wait(ctx, p.deadline.Sub(p.now())+time.Second)
}

// failImagePulls plays a kubelet that cannot pull a container's image, until it backs off.
func (c *Cluster) failImagePulls(ctx context.Context, pod *corev1.Pod, container string,
	wait func(time.Duration) error,
) error {
	image := pod.Spec.Containers[0].Image
	problem := fmt.Sprintf(
		"failed to pull and unpack image %[1]q: failed to resolve reference %[1]q: %[1]s: not found", image)
	for i := range 4 {
		reason, message := "ErrImagePull", "rpc error: code = NotFound desc = "+problem
		if i%2 == 1 {
			reason = "ImagePullBackOff"
			message = fmt.Sprintf("Back-off pulling image %q: ErrImagePull: %s", image, message)
		}
		if err := wait(time.Duration(1+i) * time.Second); err != nil {
			return err
		}
		if err := c.updatePod(ctx, pod, func(status *corev1.PodStatus) {
			waitContainer(status, container, reason, message)
		}); err != nil {
			return err
		}
	}
	return nil
}

// runCopier plays the copier's container.
func (p *player) runCopier(ctx context.Context, number int) (int32, error) {
	id := newContainerID()
	log := p.cluster.api.OpenLog(id)
	defer log.Close()
	if err := p.cluster.updatePod(ctx, p.pod, func(status *corev1.PodStatus) {
		status.Phase = corev1.PodRunning
		startContainer(status, pull.ContainerName, id, p.now())
		setPodCondition(status, corev1.PodReady, corev1.ConditionTrue, "", "", p.now())
	}); err != nil {
		return 0, err
	}
	if err := p.update(ctx, func(status *batchv1.JobStatus) { status.Ready = new(int32(1)) }); err != nil {
		return 0, err
	}
	outcome, exit, err := p.copy(ctx, log, number <= p.behavior.failures)
	if err != nil {
		return 0, err
	}
	message := ""
	if !p.behavior.panics {
		encoded, err := json.Marshal(outcome)
		if err != nil {
			return 0, err
		}
		message = string(encoded)
	}
	log.Close()
	phase := corev1.PodSucceeded
	if exit != pull.ExitDone {
		phase = corev1.PodFailed
	}
	err = p.cluster.updatePod(ctx, p.pod, func(status *corev1.PodStatus) {
		status.Phase = phase
		endContainer(status, pull.ContainerName, exit, message, p.now())
		setPodCondition(status, corev1.PodReady, corev1.ConditionFalse, "PodCompleted", "", p.now())
	})
	return exit, err
}
