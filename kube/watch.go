package kube

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// jobNameLabel is on every pod of a Job; the Job controller sets it.
const jobNameLabel = batchv1.JobNameLabel

// callTimeout bounds one call to the API server that is not a watch.
const callTimeout = 10 * time.Second

// Watch keeps a Tracker up to date: it watches the Jobs and the pods of pulls, and takes a broken watch up again where it
// broke.
type Watch struct {
	tracker *Tracker
	jobs    *watched
	pods    *watched
	synced  chan struct{}
	once    sync.Once
}

// NewWatch returns a Watch of namespace that feeds tracker once it runs.
func NewWatch(client kubernetes.Interface, namespace string, tracker *Tracker) *Watch {
	w := &Watch{tracker: tracker, synced: make(chan struct{})}
	w.jobs = newWatched("jobs", w, &batchv1.Job{}, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return client.BatchV1().Jobs(namespace).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return client.BatchV1().Jobs(namespace).Watch(ctx, o)
		},
	}, jobStore{tracker})
	w.pods = newWatched("pods", w, &corev1.Pod{}, &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return client.CoreV1().Pods(namespace).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return client.CoreV1().Pods(namespace).Watch(ctx, o)
		},
	}, podStore{tracker})
	return w
}

// Run watches until ctx is done.
func (w *Watch) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { w.jobs.reflector.RunWithContext(ctx) })
	wg.Go(func() { w.pods.reflector.RunWithContext(ctx) })
	wg.Wait()
	return nil
}

// Synced is closed once all Jobs and pods have been seen for the first time.
func (w *Watch) Synced() <-chan struct{} { return w.synced }

// Ready returns nil once Synced is closed, otherwise an error that says what is waited for.
func (w *Watch) Ready() error {
	select {
	case <-w.synced:
		return nil
	default:
		return errors.New("the pulls in the cluster have not been read yet")
	}
}

// Live reports whether both watches are open, so that the Tracker is as new as it can be.
func (w *Watch) Live() bool { return w.jobs.live() && w.pods.live() }

// Changed returns a channel that has a value once some pull has changed, and the function that ends the subscription.
func (w *Watch) Changed() (<-chan struct{}, func()) { return w.tracker.changed.subscribe() }

// watched is one kind of object that is watched.
type watched struct {
	name      string
	watch     *Watch
	reflector *cache.Reflector
	filled    atomic.Bool
	open      atomic.Int32
	opens     atomic.Int64
}

func newWatched(name string, w *Watch, kind runtime.Object, lw *cache.ListWatch, store cache.ReflectorStore) *watched {
	k := &watched{name: name, watch: w}
	open := lw.WatchFuncWithContext
	lw.WatchFuncWithContext = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		inner, err := open(ctx, o)
		if err != nil {
			return nil, err
		}
		k.opens.Add(1)
		return newCountedWatch(inner, &k.open), nil
	}
	k.reflector = cache.NewReflectorWithOptions(lw, kind, filledStore{store, k}, cache.ReflectorOptions{
		Name: "pullwatch-" + name,
		// client-go waits up to 30 s by default; a dashboard that is 30 s behind is a broken one.
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Cap: 5 * time.Second, Steps: 10, Jitter: 0.5},
	})
	return k
}

func (k *watched) live() bool { return k.filled.Load() && k.open.Load() > 0 }

// markFilled notes that the first list is complete.
func (k *watched) markFilled() {
	k.filled.Store(true)
	if k.watch.jobs.filled.Load() && k.watch.pods.filled.Load() {
		k.watch.once.Do(func() { close(k.watch.synced) })
	}
}

// filledStore tells when the store has been filled by a first list.
type filledStore struct {
	cache.ReflectorStore
	kind *watched
}

func (s filledStore) Replace(items []any, version string) error {
	err := s.ReflectorStore.Replace(items, version)
	s.kind.markFilled()
	return err
}

// countedWatch counts itself as open until it is stopped.
type countedWatch struct {
	watch.Interface
	open *atomic.Int32
	once sync.Once
}

func newCountedWatch(inner watch.Interface, open *atomic.Int32) *countedWatch {
	open.Add(1)
	return &countedWatch{Interface: inner, open: open}
}

// Stop is called by the reflector when the watch has ended for whatever reason.
func (c *countedWatch) Stop() {
	c.once.Do(func() { c.open.Add(-1) })
	c.Interface.Stop()
}

// jobStore and podStore let a reflector write straight into the Tracker, without a second copy of every object.
type jobStore struct{ t *Tracker }

func (s jobStore) Add(o any) error    { s.t.observeJob(o.(*batchv1.Job)); return nil }
func (s jobStore) Update(o any) error { s.t.observeJob(o.(*batchv1.Job)); return nil }
func (s jobStore) Delete(o any) error { s.t.observeDeleted(o.(*batchv1.Job)); return nil }
func (s jobStore) Resync() error      { return nil }
func (s jobStore) Replace(items []any, version string) error {
	at, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return fmt.Errorf("resourceVersion %q of a list of Jobs: %w", version, err)
	}
	jobs := make([]*batchv1.Job, len(items))
	for i, o := range items {
		jobs[i] = o.(*batchv1.Job)
	}
	s.t.replaceJobs(jobs, at)
	return nil
}

type podStore struct{ t *Tracker }

func (s podStore) Add(o any) error    { s.t.observePod(o.(*corev1.Pod)); return nil }
func (s podStore) Update(o any) error { s.t.observePod(o.(*corev1.Pod)); return nil }
func (s podStore) Delete(o any) error { s.t.observePodDeleted(o.(*corev1.Pod)); return nil }
func (s podStore) Resync() error      { return nil }
func (s podStore) Replace(items []any, _ string) error {
	pods := make([]*corev1.Pod, len(items))
	for i, o := range items {
		pods[i] = o.(*corev1.Pod)
	}
	s.t.replacePods(pods)
	return nil
}
