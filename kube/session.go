package kube

import (
	"context"
	"strconv"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/kube/listwatch"
	"pullwatch/kube/pullstate"
)

// session watches until ctx is done, whatever the API server says. It closes synced once the Tracker has synced.
func (w *Watch) session(ctx context.Context, synced chan struct{}) {
	w.tracker.begin()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.tracker.runDelays(ctx) })
	if !w.begin(ctx) {
		return
	}
	// Follow pods before Jobs: the final state of a deleted Job needs what its pods reported.
	for _, k := range []*watched{w.pods, w.jobs} {
		wg.Go(func() { w.follow(ctx, k) })
		select {
		case <-ctx.Done():
			return
		case <-k.caughtUp:
		}
	}
	w.tracker.finishSync()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.role.synced.Store(w.synced == synced)
	close(synced)
}

// begin lists everything for the first time. It returns false when ctx is done before that.
func (w *Watch) begin(ctx context.Context) bool {
	backoff, logged := listwatch.NewBackoff(), false
	for {
		err := w.list(ctx)
		if err == nil {
			if logged {
				w.logger.Info("the pulls in the cluster can be read again")
			}
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if !logged {
			w.logger.Warn("the pulls in the cluster cannot be read; trying on", "error", err)
			logged = true
		}
		if !listwatch.Sleep(ctx, backoff.Step()) {
			return false
		}
	}
}

// follow watches one resource until ctx is done. It goes on after a refusal, since what is forbidden may be allowed again.
func (w *Watch) follow(ctx context.Context, k *watched) {
	backoff := listwatch.NewBackoff()
	for {
		began := time.Now()
		err := k.Follow(ctx)
		w.logger.Debug("a watch ended", "resource", k.name, "error", err)
		if time.Since(began) > listwatch.Grace {
			backoff = listwatch.NewBackoff()
		}
		if !listwatch.Sleep(ctx, backoff.Step()) {
			return
		}
	}
}

// list gives the Tracker all objects, as of the feed's ResourceVersions if the API server still remembers that, and as of now
// otherwise. The watches go on from there. So how a pull ended while nobody watched comes like any other change, and so does a
// pull that began and ended meanwhile: another replica may have shown it to its own clients.
func (w *Watch) list(ctx context.Context) error {
	select {
	case <-w.tracker.feed.Missed(): // what was missed until now, this list finds
	default:
	}
	now, err := w.lists(ctx, w.pods.Options, w.jobs.Options)
	if err != nil {
		return err
	}
	then := now
	var sinceJobs, sincePods uint64 // 0 while the past can't be read, or is that of another cluster
	switch jobs, pods := w.tracker.feed.ResourceVersions(); {
	case jobs == 0 || pods == 0:
		sinceJobs, sincePods = pullstate.Version(now.jobs), pullstate.Version(now.pods)
	case jobs <= pullstate.Version(now.jobs) && pods <= pullstate.Version(now.pods):
		past, err := w.lists(ctx, exactly(w.pods.Options, pods), exactly(w.jobs.Options, jobs))
		if err != nil {
			w.logger.Debug("the past cannot be read any more", "error", err)
			break
		}
		then, sinceJobs, sincePods = past, jobs, pods
		w.tracker.beginReplay()
	}
	w.tracker.feed.BeginWatch(sinceJobs, sincePods)
	// Pods come first, so that no pull is seen without its pods.
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
	ctx, cancel := context.WithTimeout(ctx, listwatch.ListTimeout)
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
