package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"pullwatch/internal/pull"
)

// patience is how long all attempts of a failing pull take together. A real Job waits for 10 s, 20 s and 40 s between them,
// which is too long for a demo.
const patience = 20 * time.Second

// play plays a Job that is not suspended until it has finished. It returns an error if the Job is deleted or ctx is done
// before that.
func (c *Cluster) play(ctx context.Context, small *batchv1.Job) error {
	job, err := c.client.BatchV1().Jobs(small.Namespace).Get(ctx, small.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("play job %s: %w", small.Name, err)
	}
	args := job.Spec.Template.Spec.Containers[containerIndex(&job.Spec.Template.Spec)].Args
	if len(args) < 2 {
		return fmt.Errorf("play job %s: copier has no source and destination", job.Name)
	}
	source, destination := args[len(args)-2], args[len(args)-1]
	platforms, err := pull.SplitPlatforms(job.Annotations["pullwatch/platforms"])
	if err != nil {
		return fmt.Errorf("play job %s: %w", job.Name, err)
	}
	behavior := behaviorOf(source).on(platforms)
	if behavior.deadline > 0 {
		if job, err = c.shortenDeadline(ctx, job, behavior.deadline); err != nil {
			return fmt.Errorf("play job %s: %w", small.Name, err)
		}
	}
	p := &player{
		cluster: c, job: job, image: newImage(source), platforms: platforms, destination: destination, behavior: behavior,
		clock: clock{behind: behind(source, job.CreationTimestamp.Time)},
	}
	if p.behavior.copying == 0 {
		p.behavior.copying = p.image.copying
	}
	err = p.run(ctx)
	if errors.Is(err, errDeadline) {
		err = p.expire(ctx)
	}
	if err != nil {
		return fmt.Errorf("play job %s: %w", job.Name, err)
	}
	return nil
}

// shortenDeadline gives a Job less time than it asks for. Nobody waits an hour to see a deadline pass.
func (c *Cluster) shortenDeadline(ctx context.Context, job *batchv1.Job, deadline time.Duration) (*batchv1.Job, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q},"spec":{"activeDeadlineSeconds":%d}}`,
		job.UID, int64(deadline/time.Second))
	return c.client.BatchV1().Jobs(job.Namespace).Patch(ctx, job.Name, types.MergePatchType, patch, metav1.PatchOptions{})
}

// player is the Job controller and the copiers of one Job.
type player struct {
	cluster     *Cluster
	job         *batchv1.Job
	image       image
	platforms   []string
	destination string
	behavior    Behavior
	clock

	// pod is the pod of the current attempt. It is nil between attempts.
	pod      *corev1.Pod
	failures int32
	// copied is how many bytes earlier attempts have left at the destination.
	copied int64
}

func (p *player) run(ctx context.Context) error {
	start := p.now()
	p.deadline = start.Add(p.allowed())
	if err := p.update(ctx, func(status *batchv1.JobStatus) {
		status.StartTime = timeOf(start)
		setConditionStatus(status, batchv1.JobSuspended, corev1.ConditionFalse, "JobResumed", "Job resumed", start)
	}); err != nil {
		return err
	}
	limit := *p.job.Spec.BackoffLimit
	for attempt := 1; ; attempt++ {
		exit, err := p.attempt(ctx, attempt)
		if err != nil {
			return err
		}
		if exit == 0 {
			return p.succeed(ctx)
		}
		p.failures++
		switch {
		case p.failJobRule(exit) >= 0:
			return p.fail(ctx, batchv1.JobReasonPodFailurePolicy, fmt.Sprintf(
				"Container %s for pod %s/%s failed with exit code %d matching FailJob rule at index %d",
				pull.ContainerName, p.pod.Namespace, p.pod.Name, exit, p.failJobRule(exit)))
		case p.failures > limit:
			return p.fail(ctx, batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
		}
		p.pod = nil
		if err := p.update(ctx, func(status *batchv1.JobStatus) {
			status.Active, status.Ready, status.Failed = 0, new(int32(0)), p.failures
		}); err != nil {
			return err
		}
		if err := p.wait(ctx, min(3*time.Second, patience/time.Duration(2*(limit+1)))); err != nil {
			return err
		}
	}
}

// allowed is how long the Job may take.
func (p *player) allowed() time.Duration {
	allowed := 24 * time.Hour
	if seconds := p.job.Spec.ActiveDeadlineSeconds; seconds != nil {
		allowed = time.Duration(*seconds) * time.Second
	}
	return allowed
}

// failJobRule returns the index of the rule in the Job's podFailurePolicy that fails the Job for an exit code. It returns -1
// for none.
func (p *player) failJobRule(exit int32) int {
	if p.job.Spec.PodFailurePolicy == nil {
		return -1
	}
	for i, rule := range p.job.Spec.PodFailurePolicy.Rules {
		on := rule.OnExitCodes
		if on == nil || on.ContainerName != nil && *on.ContainerName != pull.ContainerName {
			continue
		}
		if slices.Contains(on.Values, exit) != (on.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn) {
			continue
		}
		if rule.Action == batchv1.PodFailurePolicyActionFailJob {
			return i
		}
		return -1
	}
	return -1
}

func (p *player) succeed(ctx context.Context) error {
	const reason, message = batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods"
	return p.finish(ctx, batchv1.JobSuccessCriteriaMet, batchv1.JobComplete, reason, message)
}

func (p *player) fail(ctx context.Context, reason, message string) error {
	return p.finish(ctx, batchv1.JobFailureTarget, batchv1.JobFailed, reason, message)
}

// expire ends a Job whose deadline has passed. It deletes the pod.
func (p *player) expire(ctx context.Context) error {
	if p.pod != nil {
		p.failures++
	}
	return p.fail(ctx, batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
}

// finish sets the Job's conditions in two steps, as Kubernetes does: first what the Job will be, and when no pod runs any more,
// what it is.
func (p *player) finish(ctx context.Context, soon, final batchv1.JobConditionType, reason, message string) error {
	if err := p.update(ctx, func(status *batchv1.JobStatus) {
		setCondition(status, soon, reason, message, p.now())
	}); err != nil {
		return err
	}
	if reason == batchv1.JobReasonDeadlineExceeded && p.pod != nil {
		err := p.cluster.client.CoreV1().Pods(p.pod.Namespace).Delete(ctx, p.pod.Name, metav1.DeleteOptions{})
		if err != nil && !isGone(err) {
			return err
		}
	}
	return p.update(ctx, func(status *batchv1.JobStatus) {
		status.Active, status.Ready, status.Terminating = 0, new(int32(0)), new(int32(0))
		status.Failed = p.failures
		if final == batchv1.JobComplete {
			status.Succeeded, status.CompletionTime = 1, timeOf(p.now())
		}
		setCondition(status, final, reason, message, p.now())
	})
}

func (p *player) update(ctx context.Context, change func(*batchv1.JobStatus)) error {
	return p.cluster.updateJob(ctx, p.job, change)
}

// updateJob changes the status of a Job if it still exists.
func (c *Cluster) updateJob(ctx context.Context, job *batchv1.Job, change func(*batchv1.JobStatus)) error {
	jobs := c.client.BatchV1().Jobs(job.Namespace)
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		current, err := jobs.Get(ctx, job.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if current.UID != job.UID {
			return apierrors.NewNotFound(batchv1.Resource("jobs"), job.Name)
		}
		change(&current.Status)
		_, err = jobs.UpdateStatus(ctx, current, metav1.UpdateOptions{})
		return err
	})
}

func (c *Cluster) deleteJob(ctx context.Context, job *batchv1.Job) error {
	background := metav1.DeletePropagationBackground
	return c.client.BatchV1().Jobs(job.Namespace).Delete(ctx, job.Name, metav1.DeleteOptions{
		PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &job.UID},
	})
}

func isGone(err error) bool { return apierrors.IsNotFound(err) }

// finishedBy returns the condition that says how a Job has finished. It is empty for a Job that has not.
func finishedBy(job *batchv1.Job) batchv1.JobConditionType {
	for _, final := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if hasCondition(job, final) {
			return final
		}
	}
	return ""
}

func hasCondition(job *batchv1.Job, kind batchv1.JobConditionType) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}

func setCondition(status *batchv1.JobStatus, kind batchv1.JobConditionType, reason, message string, now time.Time) {
	setConditionStatus(status, kind, corev1.ConditionTrue, reason, message, now)
}

// setConditionStatus sets the condition of a type. It adds none that would be false.
func setConditionStatus(status *batchv1.JobStatus, kind batchv1.JobConditionType, value corev1.ConditionStatus,
	reason, message string, now time.Time,
) {
	i := slices.IndexFunc(status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == kind })
	condition := batchv1.JobCondition{
		Type: kind, Status: value, Reason: reason, Message: message,
		LastProbeTime: *timeOf(now), LastTransitionTime: *timeOf(now),
	}
	switch {
	case i >= 0:
		status.Conditions[i] = condition
	case value == corev1.ConditionTrue:
		status.Conditions = append(status.Conditions, condition)
	}
}

// timeOf returns a time as Kubernetes objects hold it: in whole seconds.
func timeOf(t time.Time) *metav1.Time { return new(metav1.NewTime(t.Truncate(time.Second))) }

func containerIndex(spec *corev1.PodSpec) int {
	return slices.IndexFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == pull.ContainerName })
}
