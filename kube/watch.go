package kube

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"pullwatch/usererr"
)

// jobNameLabel is on every pod of a Job; the Job controller sets it.
const jobNameLabel = batchv1.JobNameLabel

// callTimeout bounds one call to the API server that is not a watch.
const callTimeout = 10 * time.Second

// Watch keeps a Tracker up to date: it watches the Jobs and the pods of pulls, and takes a broken watch up again where it
// broke, so that it misses no change as long as the API server remembers that point.
type Watch struct {
	tracker *Tracker
	log     *slog.Logger
	jobs    *watched
	pods    *watched
}

// NewWatch returns a Watch of namespace that feeds tracker once it runs.
func NewWatch(client kubernetes.Interface, namespace string, tracker *Tracker, log *slog.Logger) *Watch {
	w := &Watch{tracker: tracker, log: log}
	jobs, pods := client.BatchV1().Jobs(namespace), client.CoreV1().Pods(namespace)
	w.jobs = newWatched("jobs", jobs.Watch, log)
	w.jobs.list = func(ctx context.Context, o metav1.ListOptions) (string, error) {
		list, err := jobs.List(ctx, o)
		if err != nil {
			return "", err
		}
		return list.ResourceVersion, tracker.replaceJobs(list)
	}
	w.jobs.apply = func(e watch.Event) {
		if job, ok := e.Object.(*batchv1.Job); ok && e.Type == watch.Deleted {
			tracker.observeDeleted(job)
		} else if ok {
			tracker.observeJob(job)
		}
	}
	w.pods = newWatched("pods", pods.Watch, log)
	w.pods.list = func(ctx context.Context, o metav1.ListOptions) (string, error) {
		list, err := pods.List(ctx, o)
		if err != nil {
			return "", err
		}
		tracker.replacePods(list)
		return list.ResourceVersion, nil
	}
	w.pods.apply = func(e watch.Event) {
		if pod, ok := e.Object.(*corev1.Pod); ok && e.Type == watch.Deleted {
			tracker.observePodDeleted(pod)
		} else if ok {
			tracker.observePod(pod)
		}
	}
	return w
}

// Run watches until ctx is done.
func (w *Watch) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx, w.pods) })
	wg.Go(func() { w.tracker.releaseHeld(ctx) })
	// Jobs come second, so that no pull is seen for the first time without its pods.
	select {
	case <-ctx.Done():
	case <-w.pods.filled:
		w.run(ctx, w.jobs)
	}
	wg.Wait()
	return nil
}

// run watches one resource until ctx is done, whatever the API server says.
func (w *Watch) run(ctx context.Context, k *watched) {
	backoff := newWatchBackoff()
	for {
		err := k.start(ctx)
		if err == nil {
			k.once.Do(func() { close(k.filled) })
			began := time.Now()
			if err = k.follow(ctx); time.Since(began) > watchGrace {
				backoff = newWatchBackoff()
			}
		}
		if ctx.Err() != nil {
			return
		}
		pause := backoff.Step()
		w.log.Warn("the pulls' state cannot be read", "resource", k.name, "error", err, "again in", pause.Round(time.Millisecond).String())
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Synced is closed once all Jobs and pods have been seen for the first time.
func (w *Watch) Synced() <-chan struct{} { return w.jobs.filled }

// Ready returns nil once Synced is closed, otherwise an error that says what is waited for.
func (w *Watch) Ready() error {
	select {
	case <-w.Synced():
		return nil
	default:
		return errors.New("the pulls in the cluster have not been read yet")
	}
}

// AwaitSync waits until Synced is closed, for 10 s at most. The error is a usererr.Unavailable.
func (w *Watch) AwaitSync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case <-w.Synced():
		return nil
	case <-ctx.Done():
		return usererr.New(usererr.Unavailable, "the server has not read the state of the cluster yet; try again in a moment")
	}
}

// Live reports whether both watches are open, so that the Tracker is as new as it can be.
func (w *Watch) Live() bool { return w.jobs.live() && w.pods.live() }

// Changed returns a channel that has a value once some pull has changed, and the function that ends the subscription.
func (w *Watch) Changed() (<-chan struct{}, func()) { return w.tracker.changed.subscribe() }

// watched is one kind of object that is watched.
type watched struct {
	listWatch
	name string
	// filled is closed after the first list.
	filled  chan struct{}
	once    sync.Once
	watches atomic.Int32
	opens   atomic.Int64
}

func newWatched(name string, open func(context.Context, metav1.ListOptions) (watch.Interface, error), log *slog.Logger) *watched {
	k := &watched{name: name, filled: make(chan struct{})}
	broken := false
	k.options = metav1.ListOptions{LabelSelector: selector}
	k.open = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		inner, err := open(ctx, o)
		switch {
		case err != nil && ctx.Err() == nil && !broken:
			broken = true // and told once, however often it is tried
			log.Warn("the watch broke and is being taken up again", "resource", name, "error", err)
		case err == nil && broken:
			broken = false
			log.Info("the watch has been taken up again", "resource", name)
		}
		if err != nil {
			return nil, err
		}
		k.opens.Add(1)
		k.watches.Add(1)
		return &countedWatch{Interface: inner, count: &k.watches}, nil
	}
	return k
}

func (k *watched) live() bool { return k.watches.Load() > 0 }

// countedWatch counts until it is stopped.
type countedWatch struct {
	watch.Interface
	count *atomic.Int32
	once  sync.Once
}

func (c *countedWatch) Stop() {
	c.once.Do(func() { c.count.Add(-1) })
	c.Interface.Stop()
}
