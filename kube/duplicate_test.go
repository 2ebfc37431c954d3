package kube

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/demo/fakeapi"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// gate lets the requests of starters pass one at a time.
type gate struct {
	mu      sync.Mutex
	waiting map[string]chan struct{} // by starter
	passed  []string
}

// gated is the transport of a starter whose requests wait at a gate.
type gated struct {
	http.RoundTripper
	gate    *gate
	starter string
}

func (g gated) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Path == "/readyz" { // Health asks whether the API server is there
		return g.RoundTripper.RoundTrip(request)
	}
	pass := make(chan struct{})
	g.gate.mu.Lock()
	g.gate.waiting[g.starter] = pass
	g.gate.mu.Unlock()
	select {
	case <-pass:
	case <-request.Context().Done():
		return nil, request.Context().Err()
	}
	return g.RoundTripper.RoundTrip(request)
}

// letPass lets one request pass, and waits until all that follows from it has happened. choose returns which one of n. It returns
// false when none waits.
func (g *gate) letPass(starters []string, choose func(n int) int) bool {
	synctest.Wait()
	g.mu.Lock()
	var waiting []string
	for _, starter := range starters {
		if g.waiting[starter] != nil {
			waiting = append(waiting, starter)
		}
	}
	if len(waiting) == 0 {
		g.mu.Unlock()
		return false
	}
	next := waiting[choose(len(waiting))]
	close(g.waiting[next])
	delete(g.waiting, next)
	g.passed = append(g.passed, next)
	g.mu.Unlock()
	synctest.Wait()
	return true
}

// race lets replicas start the same pull, each so much later than the one before, and their requests pass in the order that choose
// makes. None of them knows what another one does. It returns the order.
func race(t *testing.T, replicas int, apart time.Duration, choose func(n int) int) []string {
	api := fakeapi.New()
	defer api.Close()
	watching := newReplicaOf(t, api, feed.New("watching"))
	told := newKeepingHub("told")
	watching.tracker.feed = told
	watching.watch.Demand()
	watching.run(t, nil)
	defer watching.stop()
	if err := told.AwaitSync(t.Context()); err != nil {
		t.Fatal(err)
	}

	g := &gate{waiting: map[string]chan struct{}{}}
	var starters []string
	results := make([]*pull.StartResult, replicas)
	var starting sync.WaitGroup
	for i := range replicas {
		name := fmt.Sprint("starter", i)
		starters = append(starters, name)
		r := newReplicaOf(t, api, feed.New(name))
		r.refuse.RoundTripper = gated{r.refuse.RoundTripper, g, name}
		r.hub.SetSynced()
		starting.Go(func() {
			all, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"nginx:1"}})
			if err != nil {
				t.Error(err)
				return
			}
			results[i] = all[0]
		})
		synctest.Wait()
		time.Sleep(apart) // fake time
	}
	for g.letPass(starters, choose) {
	}
	starting.Wait()

	order := g.passed
	present, err := watching.pulls.activeJobs(t.Context(), metav1.ListOptions{}, jobOf(t, watching, "nginx:1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(present) != 1 {
		t.Fatalf("order %v: %d Jobs stay", order, len(present))
	}
	made := 0
	for _, result := range results {
		if result.Error != nil || result.Pull.ID != present[0].Name {
			t.Fatalf("order %v: one stays, %s, and a client was told of %+v, %v", order, present[0].Name, result.Pull, result.Error)
		}
		if !result.Joined {
			made++
		}
	}
	if made != 1 {
		t.Errorf("order %v: %d clients were told that their pull was made", order, made)
	}
	for id, states := range told.states {
		for _, state := range states {
			if state.Phase == pull.Failed || state.Phase == pull.Canceled && !strings.Contains(state.Message, present[0].Name) {
				t.Errorf("order %v: subscribers were told that %s is %s: %s", order, id, state.Phase, state.Message)
			}
		}
	}
	return order
}

// jobOf returns a Job of an image as a start makes it.
func jobOf(t *testing.T, r *replica, image string) *batchv1.Job {
	t.Helper()
	ref, err := pull.ParseImage(image)
	if err != nil {
		t.Fatal(err)
	}
	to, err := ref.At(r.pulls.destination)
	if err != nil {
		t.Fatal(err)
	}
	return request{image: ref, destination: to}.job(r.pulls.prototype, 0, time.Now())
}

// Apart by a second they choose other names, otherwise the same.
func TestOnePullStaysOfTwoThatStartAtOnceInAnyOrder(t *testing.T) {
	for _, apart := range []time.Duration{0, time.Second} {
		t.Run(apart.String(), func(t *testing.T) {
			orders := map[string]bool{}
			// A choice is made as often as both wait, which they do 7 times at most.
			for choices := range 1 << 8 {
				synctest.Test(t, func(t *testing.T) {
					left := choices
					order := race(t, 2, apart, func(n int) int {
						chosen := left % n
						left /= n
						return chosen
					})
					orders[fmt.Sprint(order)] = true
				})
				if t.Failed() {
					return
				}
			}
			t.Logf("%d orders", len(orders))
		})
	}
}

func TestOnePullStaysOfThreeThatStartAtOnce(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { race(t, 3, time.Second, rand.New(rand.NewPCG(seed, 0)).IntN) })
	}
}

// A pull of an earlier second may have been started and canceled by a replica that is gone, or that this one has not heard of.
func TestAnIDNeverComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		used := map[string]bool{}
		for round := range 5 {
			r := newReplicaOf(t, api, feed.New(fmt.Sprint("replica", round))) // restarted
			r.hub.SetSynced()
			id := r.start(t, "nginx:1")[0].ID
			if used[id] {
				t.Errorf("round %d: %s comes again", round, id)
			}
			used[id] = true
			if _, err := r.pulls.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if round == 2 {
				time.Sleep(time.Second) // fake time
			}
		}
		leading := newReplica(t, api, "leading", 1)
		time.Sleep(time.Minute) // fake time
		synctest.Wait()
		if names := leading.jobNames(t); len(names) != 0 {
			t.Errorf("Jobs of canceled pulls are left: %v", names)
		}
		if id := leading.start(t, "nginx:1")[0].ID; used[id] {
			t.Errorf("%s comes again", id)
		}
	})
}

// Versions before this one counted the pulls of a day, from a thousand times the days since 1970.
func TestAPullThatAnEarlierVersionStartedIsJoinedAndCanBeCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(t)
		knows, doesNot := newReplica(t, api, "knows", 1), newReplicaOf(t, api, feed.New("does not"))
		doesNot.hub.SetSynced()
		number := time.Now().Unix() / (24 * 60 * 60) * 1000
		if 10*number > firstNumber(time.Now()) {
			t.Errorf("%d is not far below %d", number, firstNumber(time.Now()))
		}
		job := jobOf(t, knows, "nginx:1")
		job.Name = strings.TrimSuffix(job.Name, "-0") + "-" + strconv.FormatInt(number, 36)
		if _, err := knows.client.BatchV1().Jobs(testNamespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, r := range []*replica{knows, doesNot} {
			if got := r.startFor(t, "nginx:1"); got.Pull.ID != job.Name || !got.Joined {
				t.Errorf("joined %t: %s, want %s", got.Joined, got.Pull.ID, job.Name)
			}
		}
		if _, err := knows.pulls.Cancel(t.Context(), job.Name); err != nil {
			t.Fatal(err)
		}
		for _, name := range knows.jobNames(t) {
			if name == job.Name {
				t.Errorf("the Job %s is left", name)
			}
		}
	})
}

// requests counts the requests by method.
type requests struct {
	http.RoundTripper
	mu   sync.Mutex
	made map[string]int
}

func (r *requests) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.made[request.Method]++
	r.mu.Unlock()
	return r.RoundTripper.RoundTrip(request)
}

func TestACallThatStartsManyPullsLooksForDuplicatesOnce(t *testing.T) {
	r := newReplicaOf(t, newAPI(t), feed.New("a"))
	r.hub.SetSynced()
	count := &requests{RoundTripper: r.refuse.RoundTripper, made: map[string]int{}}
	r.refuse.RoundTripper = count
	var images []string
	for n := range pull.MaxStart {
		images = append(images, fmt.Sprintf("nginx:%d", n))
	}
	r.start(t, images...)
	if count.made["POST"] != pull.MaxStart || count.made["GET"] != 1 || len(count.made) != 2 {
		t.Errorf("%v requests for %d pulls", count.made, pull.MaxStart)
	}
}

// heldLists holds the requests for lists until they are released.
type heldLists struct {
	http.RoundTripper
	release chan struct{}
}

func (h heldLists) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodGet && request.URL.Query().Has("labelSelector") {
		select {
		case <-h.release:
		case <-request.Context().Done():
			return nil, request.Context().Err()
		}
	}
	return h.RoundTripper.RoundTrip(request)
}

// Of a thousand calls that start a pull each, each would have the API server search through all Jobs.
func TestCallsAtTheSameTimeLookForDuplicatesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		r.hub.SetSynced()
		held := heldLists{r.refuse.RoundTripper, make(chan struct{})}
		count := &requests{RoundTripper: held, made: map[string]int{}}
		r.refuse.RoundTripper = count
		var starting sync.WaitGroup
		start := func(ctx context.Context, tag int, succeeds bool) {
			starting.Go(func() {
				results, err := r.pulls.Start(ctx, pull.StartRequest{Images: []string{fmt.Sprintf("nginx:%d", tag)}})
				if err != nil || (results[0].Error == nil) != succeeds {
					t.Errorf("%d: %v, %+v", tag, err, results[0])
				}
			})
			synctest.Wait()
		}
		start(t.Context(), 0, true)
		leaves, leave := context.WithCancel(t.Context())
		start(leaves, 1, false) // it would make the request for those that follow
		for tag := 2; tag < 20; tag++ {
			start(t.Context(), tag, true)
		}
		leave()
		synctest.Wait()
		close(held.release)
		starting.Wait()
		if count.made["POST"] != 20 || count.made["GET"] != 2 {
			t.Errorf("%v requests", count.made)
		}
	})
}
