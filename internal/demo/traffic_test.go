package demo

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTheDemoKeepsPullsActive(t *testing.T) {
	playIn(t, Options{ActivePulls: 12}, startAtOnce, func(t *testing.T, ctx context.Context, c *Cluster) {
		began := time.Now()
		waitForAll(t, ctx, c, len(history)+60, 5*time.Minute)
		n, err := c.census.until(ctx, func(n count) bool { return n.active >= 12 })
		if err != nil || n.active > 12 {
			t.Errorf("%+v, %v", n, err)
		}
		jobs, err := c.client.BatchV1().Jobs(pullNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		failed, old := 0, 0
		for _, job := range jobs.Items {
			end := finishedBy(&job)
			if end == batchv1.JobFailed {
				failed++
			}
			if end == "" {
				continue
			}
			created := job.CreationTimestamp.Time
			took := job.Status.Conditions[len(job.Status.Conditions)-1].LastTransitionTime.Sub(created)
			if took < 0 || took > 31*time.Second {
				t.Errorf("%s took %v", job.Name, took)
			}
			if created.Before(began) {
				old++
			}
		}
		if old != len(history) {
			t.Errorf("%d Jobs are older than the demo, want %d", old, len(history))
		}
		if share := float64(failed) / float64(len(jobs.Items)); share < 0.1 || share > 0.35 {
			t.Errorf("%d of %d failed", failed, len(jobs.Items))
		}
	})
}

func TestTheDemoStartsAsManyPullsAsAskedFor(t *testing.T) {
	const many = 500
	started := 0
	queue := func(c *Cluster) func(context.Context, []string) error {
		return func(ctx context.Context, images []string) error {
			for _, image := range images {
				started++
				job := newPullJob(fmt.Sprintf("pull-%d", started), image)
				job.Spec.Suspend = new(started > len(history))
				if _, err := c.client.BatchV1().Jobs(pullNamespace).Create(ctx, job, metav1.CreateOptions{}); err != nil {
					return err
				}
			}
			return nil
		}
	}
	playIn(t, Options{ActivePulls: many}, queue, func(t *testing.T, ctx context.Context, c *Cluster) {
		if _, err := c.census.until(ctx, func(n count) bool { return n.active >= many }); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if want := len(history) + many; started != want {
			t.Errorf("%d pulls were started, want %d", started, want)
		}
	})
}

func TestTheDemoEndsThoughItsPullsNeverStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{ActivePulls: 12, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx, func(context.Context, []string) error { return nil }) }()
		time.Sleep(10 * time.Minute) // fake time
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.Close()
	})
}
