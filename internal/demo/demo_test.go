package demo

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/podlogs"
)

func TestWordsInAnImageNameDecideWhatHappensToItsPull(t *testing.T) {
	type want struct {
		// reason is that of the Job's final condition; empty when the Job is gone.
		reason  string
		outcome pull.FailureReason
		pods    int
	}
	const completed, policy = batchv1.JobReasonCompletionsReached, batchv1.JobReasonPodFailurePolicy
	const backoff, deadline = batchv1.JobReasonBackoffLimitExceeded, batchv1.JobReasonDeadlineExceeded
	wants := map[string]want{
		"":              {completed, "", 1},
		"slow":          {completed, "", 1},
		"flaky":         {completed, "", 2},
		"missing":       {policy, pull.NotFound, 1},
		"private":       {policy, pull.Unauthorized, 1},
		"badcert":       {policy, pull.TLS, 1},
		"noplatform":    {policy, pull.NoPlatform, 1},
		"invalid":       {policy, pull.Invalid, 1},
		"limited":       {backoff, pull.RateLimited, 4},
		"offline":       {backoff, pull.Network, 4},
		"full":          {backoff, pull.DiskFull, 4},
		"broken":        {backoff, "", 4},
		"stuck":         {deadline, "", 0},
		"unschedulable": {deadline, "", 0},
		"badimage":      {deadline, "", 0},
		"lost":          {"", "", 0},
	}
	for _, b := range Behaviors() {
		if _, ok := wants[b.Word]; !ok {
			t.Errorf("behavior %q is not tested", b.Word)
		}
	}
	playIn(t, Options{}, nil, func(t *testing.T, ctx context.Context, c *Cluster) {
		for word := range wants {
			createPull(t, ctx, c, "pull-"+word+"x", strings.TrimSuffix("ghcr.io/acme/app-"+word, "-")+":1.0")
		}
		waitForAll(t, ctx, c, len(wants), 30*time.Second)
		for word, want := range wants {
			name := "pull-" + word + "x"
			job, err := c.client.BatchV1().Jobs(pullNamespace).Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) && want.reason == "" {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", word, err)
				continue
			}
			checkConditions(t, job, want.reason)
			outcome, exit, pods := lastOutcome(t, ctx, c, name)
			if outcome.Reason != want.outcome || pods != want.pods {
				t.Errorf("%q: outcome %+v, exit code %d, %d pods; want %+v", word, outcome, exit, pods, want)
			}
			if want.reason == completed && !strings.HasPrefix(outcome.Digest, "sha256:") {
				t.Errorf("%q: succeeded with the digest %q", word, outcome.Digest)
			}
			if strings.Contains(outcome.Message, "{") {
				t.Errorf("%q: message is not filled in: %s", word, outcome.Message)
			}
		}
	})
}

// checkConditions checks that a Job has ended by the two conditions that Kubernetes gives.
func checkConditions(t *testing.T, job *batchv1.Job, reason string) {
	t.Helper()
	first, last := batchv1.JobFailureTarget, batchv1.JobFailed
	if reason == batchv1.JobReasonCompletionsReached {
		first, last = batchv1.JobSuccessCriteriaMet, batchv1.JobComplete
	}
	conditions := job.Status.Conditions
	if len(conditions) != 2 || conditions[0].Type != first ||
		conditions[1].Type != last || conditions[1].Reason != reason {
		t.Errorf("%s: conditions %+v, want %s, then %s with %s", job.Name, conditions, first, last, reason)
	}
	if job.Status.Active != 0 || (job.Status.CompletionTime != nil) != (last == batchv1.JobComplete) {
		t.Errorf("%s: status %+v", job.Name, job.Status)
	}
}

func TestProgressNeverFalls(t *testing.T) {
	playIn(t, Options{}, nil, func(t *testing.T, ctx context.Context, c *Cluster) {
		createPull(t, ctx, c, "pull", "docker.io/library/nginx:1.27")
		waitForAll(t, ctx, c, 1, 30*time.Second)
		pods, err := c.client.CoreV1().Pods(pullNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		log, err := c.client.CoreV1().Pods(pullNamespace).GetLogs(pods.Items[0].Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var last pull.Report
		for line := range strings.Lines(string(log)) {
			report, ok := pull.ParseReport(strings.TrimSpace(line))
			if !ok {
				t.Fatalf("not a report: %s", line)
			}
			if report.BytesDone < last.BytesDone || report.Time.Before(last.Time) {
				t.Errorf("%+v after %+v", report, last)
			}
			last = report
		}
		if last.BytesTotal == nil || last.BytesDone != *last.BytesTotal {
			t.Errorf("the last report is %+v", last)
		}
	})
}

func TestSuspendedJobWaits(t *testing.T) {
	playIn(t, Options{}, nil, func(t *testing.T, ctx context.Context, c *Cluster) {
		job := newPullJob("pull", "nginx")
		job.Spec.Suspend = new(true)
		jobs := c.client.BatchV1().Jobs(pullNamespace)
		if _, err := jobs.Create(ctx, job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		job, err := jobs.Get(ctx, "pull", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if job.Status.StartTime != nil || !hasCondition(job, batchv1.JobSuspended) {
			t.Errorf("status of a suspended Job: %+v", job.Status)
		}
		job.Spec.Suspend = new(false)
		if _, err := jobs.Update(ctx, job, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		waitForAll(t, ctx, c, 1, 30*time.Second)
	})
}

func TestADeletedJobStopsAtOnce(t *testing.T) {
	playIn(t, Options{}, nil, func(t *testing.T, ctx context.Context, c *Cluster) {
		createPull(t, ctx, c, "pull", "slow")
		if err := pause(ctx, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		job, err := c.client.BatchV1().Jobs(pullNamespace).Get(ctx, "pull", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.deleteJob(ctx, job); err != nil {
			t.Fatal(err)
		}
		waitForAll(t, ctx, c, 1, time.Second)
		pods, err := c.client.CoreV1().Pods(pullNamespace).List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) > 0 {
			t.Errorf("%d pods are left, %v", len(pods.Items), err)
		}
	})
}

func TestApplicationsHaveLogsToRead(t *testing.T) {
	playIn(t, Options{}, nil, func(t *testing.T, ctx context.Context, c *Cluster) {
		if err := pause(ctx, 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		pods := c.client.CoreV1().Pods(applicationNamespace)
		list, err := pods.List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		read := func(pod string, options corev1.PodLogOptions) string {
			data, err := pods.GetLogs(pod, &options).DoRaw(ctx)
			if err != nil {
				t.Errorf("log of %s: %v", pod, err)
			}
			return string(data)
		}
		apps := map[string]int{}
		for _, pod := range list.Items {
			apps[pod.Labels["app"]]++
			switch pod.Labels["app"] {
			case "checkout":
				for _, container := range []string{"migrate", "app", "proxy"} {
					if strings.Count(read(pod.Name, corev1.PodLogOptions{Container: container}), "\n") < 5 {
						t.Errorf("%s of %s has hardly logged", container, pod.Name)
					}
				}
			case "payments":
				if !strings.Contains(read(pod.Name, corev1.PodLogOptions{Previous: true}), "FATAL") {
					t.Error("payments has not crashed")
				}
			case "recommendations":
				if reason := pod.Status.ContainerStatuses[0].State.Waiting.Reason; reason != "ImagePullBackOff" {
					t.Errorf("recommendations waits for %s", reason)
				}
			}
		}
		if apps["checkout"] != 2 || apps["payments"] != 1 || apps["recommendations"] != 1 || apps["report"] != 1 {
			t.Errorf("pods: %v", apps)
		}
	})
}

func TestTheLogsOfAWorkloadAreThoseOfItsPods(t *testing.T) {
	playIn(t, Options{}, nil, func(t *testing.T, ctx context.Context, c *Cluster) {
		time.Sleep(5 * time.Second)
		streamer := follow.New(follow.Options{
			Source: podlogs.New(c.client), Metrics: follow.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
		})
		for workload, pods := range map[string]int{
			"deployment/checkout": 2, "statefulset/payments": 1, "deployment/recommendations": 1, "cronjob/report": 1,
		} {
			stream, err := streamer.Stream(ctx, podlog.Input{Namespace: applicationNamespace, Workload: &workload, Follow: true})
			if err != nil {
				t.Errorf("%s: %v", workload, err)
				continue
			}
			told := map[string]bool{}
			for len(told) < pods {
				batch, err := stream.Next(ctx)
				if err != nil {
					t.Fatalf("%s: %v", workload, err)
				}
				for _, n := range batch.Notices {
					told[*n.Pod] = true
				}
			}
			stream.Close()
			for pod := range told {
				if _, app, _ := strings.Cut(workload, "/"); !strings.HasPrefix(pod, app+"-") {
					t.Errorf("%s has a pod %s", workload, pod)
				}
			}
		}
		for _, workload := range []string{"daemonset/checkout", "cronjob/checkout"} {
			_, err := streamer.Stream(ctx, podlog.Input{Namespace: applicationNamespace, Workload: &workload})
			if usererr.CodeOf(err) != usererr.NotFound {
				t.Errorf("%s: %v", workload, err)
			}
		}
	})
}
