package demo

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/demo/fakeapi"
)

// applicationNamespace is the namespace of the applications whose logs people can read.
const applicationNamespace = "shop"

// runApplications starts pods that log, each of a workload: some run for ever, one crashes again and again, one never starts, and
// a Job runs twice a minute.
func (c *Cluster) runApplications(ctx context.Context) {
	c.complain(c.createWorkloads(ctx))
	for _, suffix := range []string{"6c9f7d5b8-4xk2p", "6c9f7d5b8-t7w9z"} {
		c.goPlay(ctx, c.playCheckout, "checkout-"+suffix)
	}
	c.goPlay(ctx, c.playPayments, "payments-0")
	c.goPlay(ctx, c.playRecommendations, "recommendations-58d4c6b7f-q8v5m")
	c.goPlay(ctx, c.playReports, "report")
}

func (c *Cluster) goPlay(ctx context.Context, play func(context.Context, string) error, name string) {
	c.actors.Go(func() {
		if err := play(ctx, name); err != nil {
			c.complain(fmt.Errorf("play %s: %w", name, err))
		}
	})
}

// createWorkloads creates what the pods of the applications are of.
func (c *Cluster) createWorkloads(ctx context.Context) error {
	apps := c.client.AppsV1()
	for app, replicas := range map[string]int32{"checkout": 2, "recommendations": 1} {
		deployment := &appsv1.Deployment{ObjectMeta: applicationMeta(app, app)}
		deployment.Spec.Replicas, deployment.Spec.Selector = &replicas, selectorOf(app)
		if _, err := apps.Deployments(applicationNamespace).Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create deployment %s: %w", app, err)
		}
	}
	set := &appsv1.StatefulSet{ObjectMeta: applicationMeta("payments", "payments")}
	set.Spec.Selector = selectorOf("payments")
	if _, err := apps.StatefulSets(applicationNamespace).Create(ctx, set, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create statefulset %s: %w", set.Name, err)
	}
	return nil
}

func selectorOf(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func applicationMeta(name, app string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: applicationNamespace,
		Labels: map[string]string{"app": app, "app.kubernetes.io/name": app},
	}
}

// newApplicationPod returns a pod of an application with a container for each name.
func newApplicationPod(name, app string, containers ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: applicationMeta(name, app)}
	for _, container := range containers {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{
			Name: container, Image: "registry.shop.example/" + app + "-" + container + ":1.18",
		})
	}
	return pod
}

// startPod creates a pod and plays it until its containers can start.
func (c *Cluster) startPod(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	created, err := c.createPod(ctx, pod)
	if err != nil {
		return nil, err
	}
	if err := c.schedulePod(ctx, created, time.Now()); err != nil {
		return nil, err
	}
	return created, pause(ctx, time.Second)
}

// pause waits for d. It returns early when ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// playCheckout plays a pod with an init container that has ended, an application and a proxy beside it.
func (c *Cluster) playCheckout(ctx context.Context, name string) error {
	pod := newApplicationPod(name, "checkout", "app", "proxy")
	pod.Spec.InitContainers = []corev1.Container{{Name: "migrate", Image: "registry.shop.example/checkout-migrate:1.18"}}
	pod, err := c.startPod(ctx, pod)
	if err != nil {
		return err
	}
	migrate, err := c.startRun(ctx, pod, "migrate")
	if err != nil {
		return err
	}
	if err := c.writeLines(ctx, migrate, migrationLine, 5); err != nil {
		return err
	}
	if err := c.endRun(ctx, pod, migrate, 0); err != nil {
		return err
	}
	app, err := c.startRun(ctx, pod, "app")
	if err != nil {
		return err
	}
	proxy, err := c.startRun(ctx, pod, "proxy")
	if err != nil {
		return err
	}
	c.actors.Go(func() { c.complain(c.writeLines(ctx, proxy, proxyLine, forever)) })
	return c.writeLines(ctx, app, checkoutLine, forever)
}

// playPayments plays a pod whose container crashes about every 40 seconds.
func (c *Cluster) playPayments(ctx context.Context, name string) error {
	pod, err := c.startPod(ctx, newApplicationPod(name, "payments", "app"))
	if err != nil {
		return err
	}
	for {
		app, err := c.startRun(ctx, pod, "app")
		if err != nil {
			return err
		}
		if err := c.writeLines(ctx, app, paymentLine, 80); err != nil {
			return err
		}
		fmt.Fprintln(app.log, "FATAL cannot allocate 67108864 bytes for the settlement cache, giving up")
		if err := c.endRun(ctx, pod, app, 1); err != nil {
			return err
		}
		if err := c.updatePod(ctx, pod, func(status *corev1.PodStatus) {
			waitContainer(status, "app", "CrashLoopBackOff", fmt.Sprintf(
				"back-off 5s restarting failed container=app pod=%s_%s(%s)", pod.Name, pod.Namespace, pod.UID))
		}); err != nil {
			return err
		}
		if err := pause(ctx, 5*time.Second); err != nil {
			return err
		}
	}
}

// playRecommendations plays a pod that never gets its image.
func (c *Cluster) playRecommendations(ctx context.Context, name string) error {
	pod, err := c.startPod(ctx, newApplicationPod(name, "recommendations", "app"))
	if err != nil {
		return err
	}
	return c.failImagePulls(ctx, pod, "app", func(d time.Duration) error { return pause(ctx, d) })
}

// playReports plays a CronJob's Job every 30 seconds and deletes the one before. Its pod logs for some seconds.
func (c *Cluster) playReports(ctx context.Context, name string) error {
	cronJob := &batchv1.CronJob{ObjectMeta: applicationMeta(name, name)}
	cronJob, err := c.client.BatchV1().CronJobs(applicationNamespace).Create(ctx, cronJob, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create cronjob: %w", err)
	}
	owner := *metav1.NewControllerRef(cronJob, batchv1.SchemeGroupVersion.WithKind("CronJob"))
	for {
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: applicationNamespace, OwnerReferences: []metav1.OwnerReference{owner},
		}}
		pod := newApplicationPod("", name, "main")
		job.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
		job.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
		job, err := c.client.BatchV1().Jobs(applicationNamespace).Create(ctx, job, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if err := c.playReport(ctx, job); err != nil {
			return err
		}
		if err := pause(ctx, 18*time.Second); err != nil {
			return err
		}
		if err := c.deleteJob(ctx, job); err != nil {
			return err
		}
	}
}

func (c *Cluster) playReport(ctx context.Context, job *batchv1.Job) error {
	pod := newApplicationPod("", job.Name, "main")
	pod.GenerateName, pod.Labels = job.Name+"-", job.Spec.Template.Labels
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	pod.OwnerReferences = ownedBy(job)
	pod, err := c.startPod(ctx, pod)
	if err != nil {
		return err
	}
	if err := c.updateJob(ctx, job, func(status *batchv1.JobStatus) {
		status.StartTime, status.Active = timeOf(time.Now()), 1
	}); err != nil {
		return err
	}
	run, err := c.startRun(ctx, pod, "main")
	if err != nil {
		return err
	}
	if err := c.writeLines(ctx, run, reportLine, 20); err != nil {
		return err
	}
	if err := c.endRun(ctx, pod, run, 0); err != nil {
		return err
	}
	return c.updateJob(ctx, job, func(status *batchv1.JobStatus) {
		now := time.Now()
		status.Active, status.Succeeded, status.CompletionTime = 0, 1, timeOf(now)
		setCondition(status, batchv1.JobSuccessCriteriaMet, batchv1.JobReasonCompletionsReached, "", now)
		setCondition(status, batchv1.JobComplete, batchv1.JobReasonCompletionsReached, "", now)
	})
}

// run is one run of an application's container.
type run struct {
	container string
	log       *fakeapi.Log
}

func (c *Cluster) startRun(ctx context.Context, pod *corev1.Pod, container string) (run, error) {
	id := newContainerID()
	r := run{container, c.api.OpenLog(id)}
	err := c.updatePod(ctx, pod, func(status *corev1.PodStatus) {
		status.Phase = corev1.PodRunning
		if len(status.InitContainerStatuses) > 0 && container == status.InitContainerStatuses[0].Name {
			status.Phase = corev1.PodPending
		}
		startContainer(status, container, id, time.Now())
	})
	return r, err
}

func (c *Cluster) endRun(ctx context.Context, pod *corev1.Pod, r run, exit int32) error {
	r.log.Close()
	return c.updatePod(ctx, pod, func(status *corev1.PodStatus) {
		endContainer(status, r.container, exit, "", time.Now())
		if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
			status.Phase = corev1.PodSucceeded
		}
	})
}
