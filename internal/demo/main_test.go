package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pullNamespace = "pulls"

// playIn runs test beside a cluster in which start, if it is not nil, starts pulls. Time is not real. Whatever the
// cluster complains of fails the test.
func playIn(t *testing.T, options Options, start func(*Cluster) func(context.Context, []string) error,
	test func(t *testing.T, ctx context.Context, c *Cluster),
) {
	synctest.Test(t, func(t *testing.T) {
		var complaints bytes.Buffer
		options.Logger = slog.New(slog.NewTextHandler(&complaints, nil))
		c, err := New(options)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		var starter func(context.Context, []string) error
		if start != nil {
			starter = start(c)
		}
		go func() { ran <- c.Run(ctx, starter) }()
		test(t, ctx, c)
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if complaints.Len() > 0 {
			t.Error(complaints.String())
		}
	})
}

// newPullJob returns a Job as pullwatch makes them, that may start at once.
func newPullJob(name, image string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: pullNamespace},
		Spec: batchv1.JobSpec{
			BackoffLimit: new(int32(3)), ActiveDeadlineSeconds: new(int64(3600)),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action: batchv1.PodFailurePolicyActionFailJob,
				OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
					ContainerName: new(pull.ContainerName),
					Operator:      batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{pull.ExitPermanent},
				},
			}}},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers: []corev1.Container{{
					Name: pull.ContainerName, Image: "pullwatch", Args: []string{"mirror", image, "harbor.example/" + name},
				}},
			}},
		},
	}
}

func createPull(t *testing.T, ctx context.Context, c *Cluster, name, image string) {
	t.Helper()
	jobs := c.client.BatchV1().Jobs(pullNamespace)
	if _, err := jobs.Create(ctx, newPullJob(name, image), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// waitForAll waits until so many pulls have finished, and fails the test when one takes longer than limit.
func waitForAll(t *testing.T, ctx context.Context, c *Cluster, pulls int, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if n, err := c.census.until(ctx, func(n count) bool { return n.finished >= pulls }); err != nil {
		t.Fatalf("after %v: %+v, want %d finished", limit, n, pulls)
	}
}

// lastOutcome returns what the copier of the Job's newest pod that has ended wrote, and its exit code.
func lastOutcome(t *testing.T, ctx context.Context, c *Cluster, job string) (pull.Outcome, int32, int) {
	t.Helper()
	options := metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job}
	pods, err := c.client.CoreV1().Pods(pullNamespace).List(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	var newest *corev1.Pod
	for i, pod := range pods.Items {
		if newest == nil || !pod.CreationTimestamp.Before(&newest.CreationTimestamp) {
			newest = &pods.Items[i]
		}
	}
	if newest == nil || newest.Status.ContainerStatuses[0].State.Terminated == nil {
		return pull.Outcome{}, 0, len(pods.Items)
	}
	ended := newest.Status.ContainerStatuses[0].State.Terminated
	var outcome pull.Outcome
	if ended.Message != "" {
		if err := json.Unmarshal([]byte(ended.Message), &outcome); err != nil {
			t.Errorf("termination message of %s: %v: %s", newest.Name, err, ended.Message)
		}
	}
	return outcome, ended.ExitCode, len(pods.Items)
}

// startAtOnce starts pulls as pullwatch does, without a queue.
func startAtOnce(c *Cluster) func(context.Context, []string) error {
	n := 0
	return func(ctx context.Context, images []string) error {
		if len(images) > 100 {
			return fmt.Errorf("%d images in one call", len(images))
		}
		for _, image := range images {
			n++
			job := newPullJob(fmt.Sprintf("pull-%d", n), image)
			if _, err := c.client.BatchV1().Jobs(pullNamespace).Create(ctx, job, metav1.CreateOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
}
