package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func TestQueuedPullsStartInOrderAndFewAtATime(t *testing.T) {
	const pulls, parallel = 30, 3
	source := newSource(t)
	var images []string
	for i := range pulls {
		image, _ := source.image(t, fmt.Sprintf("small-%02d:1", i), 10_000, 2)
		images = append(images, image)
	}
	gate := source.hold(t, 0)
	namespace := newNamespace(t)
	jobs := watchJobs(t, namespace)
	s := startServer(t, namespace, append(insecure(source.host), fmt.Sprintf("--max-parallel=%d", parallel))...)

	began := time.Now()
	started := s.startAll(t, images...)
	updates := s.updates(t, idsOf(started)...)
	gate.release()
	reported := map[string]time.Time{}
	for _, p := range updates.all(t) {
		if p.final() {
			reported[p.ID] = time.Now()
		}
		if p.final() && !p.is("SUCCEEDED") {
			t.Errorf("%s ended as %s: %s", p.ID, p.Phase, p.Message)
		}
	}
	figures.add(t, "30 pulls of 20 kB, 3 at a time", "%.1f s", time.Since(began).Seconds())

	for range pulls {
		jobs.nextEnd(t) // the test's own watch may be behind
	}
	seen := jobs.stop()
	if seen.mostRunning > parallel {
		t.Errorf("%d pulls ran at a time, %d may", seen.mostRunning, parallel)
	}
	// The first ones start while others of the same call are still being made.
	order := seen.started[parallel:]
	position := func(id string) int { return slices.IndexFunc(started, func(p pullJob) bool { return p.ID == id }) }
	if !slices.IsSortedFunc(order, func(a, b string) int { return position(a) - position(b) }) {
		t.Errorf("they were not started in the order in which they were given: %v", seen.started)
	}
	var longest time.Duration
	for id, at := range reported {
		longest = max(longest, at.Sub(seen.finished[id]))
	}
	if len(seen.finished) != pulls || len(reported) != pulls {
		t.Errorf("%d Jobs finished and %d pulls were reported to", len(seen.finished), len(reported))
	}
	figures.add(t, "watch event of a Job's end until its last update, at most", "%d ms", longest.Milliseconds())
}

// jobWatch follows the Jobs of a namespace through the API server.
type jobWatch struct {
	watch watch.Interface
	done  sync.WaitGroup
	// ends has the names of Jobs in the order in which they finished. It has room for those of any test.
	ends chan string
	seen jobHistory
}

type jobHistory struct {
	mostRunning int
	// started holds the names of Jobs in the order in which they left the queue.
	started  []string
	finished map[string]time.Time
}

func watchJobs(t *testing.T, namespace string) *jobWatch {
	t.Helper()
	w, err := env.Client.BatchV1().Jobs(namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	j := &jobWatch{watch: w, ends: make(chan string, 100), seen: jobHistory{finished: map[string]time.Time{}}}
	j.done.Go(j.run)
	t.Cleanup(func() { j.stop() })
	return j
}

func (j *jobWatch) run() {
	running := map[string]bool{}
	for event := range j.watch.ResultChan() {
		job, ok := event.Object.(*batchv1.Job)
		if !ok {
			continue
		}
		_, ended := j.seen.finished[job.Name]
		switch {
		case ended:
		case isFinished(job) || event.Type == watch.Deleted:
			j.seen.finished[job.Name] = time.Now()
			j.ends <- job.Name
			delete(running, job.Name)
		case !*job.Spec.Suspend && !running[job.Name]:
			j.seen.started = append(j.seen.started, job.Name)
			running[job.Name] = true
			j.seen.mostRunning = max(j.seen.mostRunning, len(running))
		}
	}
}

// untilFinished waits until a Job has finished that no call before has waited for.
func (j *jobWatch) untilFinished(t *testing.T, name string) {
	t.Helper()
	for j.nextEnd(t) != name {
	}
}

// nextEnd waits until one more Job has finished and returns its name.
func (j *jobWatch) nextEnd(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case name := <-j.ends:
		return name
	case <-ctx.Done():
		t.Fatalf("no other Job has finished: %v", ctx.Err())
		return ""
	}
}

// stop ends the watch and returns what it has seen.
func (j *jobWatch) stop() jobHistory {
	j.watch.Stop()
	j.done.Wait()
	return j.seen
}

func isFinished(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}
