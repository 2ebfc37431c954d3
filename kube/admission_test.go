package kube

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// newReplicaThatQueues returns a replica without a leader, where at most limit pulls may wait: none leaves the queue by
// itself.
func newReplicaThatQueues(t *testing.T, limit int) *replica {
	t.Helper()
	r := newReplicaOf(t, newAPI(t), feed.New("a"))
	r.pulls.admission.limit = limit
	r.watch.Demand()
	r.run(t, nil)
	if err := r.watch.AwaitSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFullQueueRefusesPulls(t *testing.T) {
	r := newReplicaThatQueues(t, 3)
	failed := r.start(t, "failed:1")[0].ID
	r.finish(t, failed, batchv1.JobFailed, "BackoffLimitExceeded")
	r.await(t, failed, phase(pull.Failed))

	results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"a:1", "a:2", "not an image", "a:3", "a:4", "a:1", "a:5"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, result := range results {
		var code usererr.Code
		if result.Error != nil {
			code = result.Error.Code
		}
		want := map[int]usererr.Code{2: usererr.BadInput, 4: usererr.LimitExceeded, 6: usererr.LimitExceeded}[i]
		if code != want || (result.Pull == nil) != (want != "") || result.Joined != (i == 5) {
			t.Errorf("%s: %+v; want the error %q", result.Image, result, want)
		}
	}
	if message := results[4].Error.Message; !strings.Contains(message, "3 pulls wait") || !strings.Contains(message, "allows 3") {
		t.Errorf("message %q", message)
	}
	if _, err := r.pulls.Retry(t.Context(), failed); usererr.CodeOf(err) != usererr.LimitExceeded {
		t.Errorf("retried: %v", err)
	}
	if n := r.pulls.admission.refused.Load(); n != 3 {
		t.Errorf("%d counted as refused", n)
	}
	if n := len(r.jobNames(t)); n != 4 {
		t.Errorf("%d Jobs", n)
	}

	if _, err := r.pulls.Cancel(t.Context(), results[0].Pull.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.pulls.Retry(t.Context(), failed); err != nil {
		t.Errorf("retried after one was canceled: %v", err)
	}
	started := results[1].Pull.ID
	if _, err := r.client.BatchV1().Jobs(testNamespace).Patch(t.Context(), started, types.MergePatchType, []byte(`{"spec":{"suspend":false}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	r.await(t, started, phase(pull.Pending))
	r.start(t, "a:4") // the place of the one that has started
	if results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"a:5"}}); err != nil || results[0].Error == nil {
		t.Errorf("the queue is full again: %+v, %v", results, err)
	}
}

// A pull of which Kubernetes makes no Job takes no place from the next one of the same call.
func TestAPullThatWasNotMadeTakesNoPlaceInTheQueue(t *testing.T) {
	r := newReplicaThatQueues(t, 1)
	starts := &starts{admission: r.pulls.admission}
	defer starts.end()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if result := r.pulls.startOne(canceled, "a:1", "harbor.example", nil, starts); result.Error == nil {
		t.Fatalf("%+v", result)
	}
	if result := r.pulls.startOne(t.Context(), "a:2", "harbor.example", nil, starts); result.Error != nil {
		t.Errorf("%v", result.Error)
	}
}

// late is a feed that knows a published state only after Flush, as one that goes through Redis.
type late struct {
	*feed.Hub

	mu      sync.Mutex
	waiting []*pull.State
}

func (l *late) Publish(state *pull.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, state)
}

func (l *late) Flush(context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, state := range l.waiting {
		l.Hub.Publish(state)
	}
	l.waiting = nil
}

func TestParallelStartsDoNotOverfillTheQueue(t *testing.T) {
	const callers, limit = 8, 250
	for name, newReplica := range map[string]func(*testing.T) *replica{
		"watching": func(t *testing.T) *replica { return newReplicaThatQueues(t, limit) },
		"published late": func(t *testing.T) *replica {
			r := newReplicaOf(t, newAPI(t), feed.New("a"))
			r.hub.SetSynced()
			known := &late{Hub: r.hub}
			r.pulls.known, r.pulls.admission = known, newAdmission(limit, known)
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReplica(t)
			var refused [callers]int
			var wg sync.WaitGroup
			for caller := range callers {
				wg.Go(func() {
					var images []string
					for n := range pull.MaxStart {
						images = append(images, fmt.Sprintf("app:%d-%d", caller, n))
					}
					results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: images})
					if err != nil {
						t.Error(err)
					}
					for _, result := range results {
						if result.Error != nil {
							refused[caller]++
						}
					}
				})
			}
			wg.Wait()
			if n := len(r.jobNames(t)); n != limit {
				t.Errorf("%d Jobs; want %d", n, limit)
			}
			total := 0
			for _, n := range refused {
				total += n
			}
			if want := callers*pull.MaxStart - limit; total != want {
				t.Errorf("%d refused; want %d", total, want)
			}
			if n := len(r.pulls.admission.starting); n != 0 {
				t.Errorf("%d pulls are being started for ever", n)
			}
		})
	}
}
