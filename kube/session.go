package kube

import (
	"context"
	"strconv"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// session watches until ctx is done, whatever the API server says. It closes synced once the Tracker has been told of
// everything that exists.
func (w *Watch) session(ctx context.Context, synced chan struct{}) {
	w.tracker.begin()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.tracker.releaseHeld(ctx) })
	if !w.begin(ctx) {
		return
	}
	// The Jobs come behind the pods, so that the last state of a Job that has gone is told with what its pods were.
	for _, k := range []*watched{w.pods, w.jobs} {
		wg.Go(func() { w.follow(ctx, k) })
		select {
		case <-ctx.Done():
			return
		case <-k.arrived:
		}
	}
	w.tracker.settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.role.synced.Store(w.synced == synced)
	close(synced)
}

// begin lists everything for the first time. It returns false when ctx is done before that.
func (w *Watch) begin(ctx context.Context) bool {
	backoff, told := newWatchBackoff(), false
	for {
		err := w.list(ctx)
		if err == nil {
			if told {
				w.log.Info("the pulls in the cluster can be read again")
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if !told {
			w.log.Warn("the pulls in the cluster cannot be read; trying on", "error", err)
			told = true
		}
		if !pause(ctx, backoff.Step()) {
			return false
		}
	}
}

// follow watches one resource until ctx is done. What an API server forbids it may allow again.
func (w *Watch) follow(ctx context.Context, k *watched) {
	backoff := newWatchBackoff()
	for {
		began := time.Now()
		err := k.follow(ctx)
		w.log.Debug("a watch ended", "resource", k.name, "error", err)
		if time.Since(began) > watchGrace {
			backoff = newWatchBackoff()
		}
		if !pause(ctx, backoff.Step()) {
			return
		}
	}
}

// pause returns false when ctx is done before d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// list tells the Tracker what exists. When a pull that the feed knows is gone, it tells instead what existed when
// whoever watched before stopped, and the watches go on from there: how the pull ended is told like any other change.
func (w *Watch) list(ctx context.Context) error {
	now, err := w.lists(ctx, w.pods.options, w.jobs.options)
	if err != nil {
		return err
	}
	then := now
	jobs, pods := w.tracker.feed.Marked()
	marked := jobs != 0 && pods != 0 && jobs <= version(now.jobs) && pods <= version(now.pods) // else of another cluster
	if marked && w.tracker.misses(now.jobs) {
		past, err := w.lists(ctx, exactly(w.pods.options, pods), exactly(w.jobs.options, jobs))
		if err == nil {
			then = past
			w.tracker.replay()
		} else {
			w.log.Debug("the past cannot be read any more", "error", err)
		}
	}
	// Pods come first, so that no pull is seen for the first time without its own.
	w.tracker.replacePods(then.pods)
	if err := w.tracker.replaceJobs(then.jobs); err != nil {
		return err
	}
	w.pods.begin(then.pods, now.pods)
	w.jobs.begin(then.jobs, now.jobs)
	return nil
}

type lists struct {
	pods *corev1.PodList
	jobs *batchv1.JobList
}

func (w *Watch) lists(ctx context.Context, pods, jobs metav1.ListOptions) (lists, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var l lists
	var err error
	if l.pods, err = w.podClient.List(ctx, pods); err != nil {
		return l, err
	}
	l.jobs, err = w.jobClient.List(ctx, jobs)
	return l, err
}

// exactly returns options for a list of the past.
func exactly(options metav1.ListOptions, version uint64) metav1.ListOptions {
	options.ResourceVersion, options.ResourceVersionMatch = strconv.FormatUint(version, 10), metav1.ResourceVersionMatchExact
	return options
}
