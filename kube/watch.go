package kube

import (
	"context"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"pullwatch/kube/pullstate"
)

// jobNameLabel is the label with which the Job controller names a pod's Job.
const jobNameLabel = batchv1.JobNameLabel

// callTimeout bounds one call to the API server that is not a watch.
const callTimeout = 10 * time.Second

// Watch keeps a Tracker up to date while somebody demands it. It watches the Jobs and the pods of pulls, and opens a broken
// watch again where it broke, so it misses no change that the API server remembers.
type Watch struct {
	tracker   *Tracker
	role      *Role
	logger    *slog.Logger
	jobClient batchv1client.JobInterface
	podClient corev1client.PodInterface
	jobs      *watched
	pods      *watched

	mu      sync.Mutex
	demands int
	// restarts is set when the session has to end although it is demanded.
	restarts bool
	// demanded has a value when demands or restarts has changed.
	demanded chan struct{}
	// synced is closed once the Tracker knows every object that exists.
	synced chan struct{}
}

// NewWatch returns a Watch of namespace that feeds tracker while it runs and is demanded. It sets role while it is live.
func NewWatch(client kubernetes.Interface, namespace string, tracker *Tracker, role *Role, logger *slog.Logger) *Watch {
	w := &Watch{
		tracker: tracker, role: role, logger: logger,
		jobClient: client.BatchV1().Jobs(namespace), podClient: client.CoreV1().Pods(namespace),
		demanded: make(chan struct{}, 1), synced: make(chan struct{}),
	}
	tracker.podsStale = func() bool { return !w.pods.live() || time.Since(time.UnixMilli(w.pods.opened.Load())) < finalDelay }
	w.jobs = newWatched("jobs", w.jobClient.Watch, &role.jobs, logger)
	w.jobs.List = func(ctx context.Context, o metav1.ListOptions) (string, error) {
		list, err := w.jobClient.List(ctx, o)
		if err != nil {
			return "", err
		}
		if err := tracker.replaceJobs(list); err != nil {
			return "", err
		}
		w.jobs.skipBacklog()
		return list.ResourceVersion, nil
	}
	w.jobs.Apply = func(e watch.Event) {
		job, ok := e.Object.(*batchv1.Job)
		if !ok {
			return
		}
		if e.Type == watch.Deleted {
			tracker.observeDeleted(job)
		} else {
			tracker.observeJob(job)
		}
		w.jobs.deliver(e.Type, job)
	}
	w.jobs.Reached = func(version string) { tracker.reach(pullstate.ParseVersion(version), 0) }
	w.pods = newWatched("pods", w.podClient.Watch, &role.pods, logger)
	w.pods.List = func(ctx context.Context, o metav1.ListOptions) (string, error) {
		list, err := w.podClient.List(ctx, o)
		if err != nil {
			return "", err
		}
		tracker.replacePods(list)
		w.pods.skipBacklog()
		return list.ResourceVersion, nil
	}
	w.pods.Apply = func(e watch.Event) {
		pod, ok := e.Object.(*corev1.Pod)
		if !ok {
			return
		}
		if e.Type == watch.Deleted {
			tracker.observePodDeleted(pod)
		} else {
			tracker.observePod(pod)
		}
		w.pods.deliver(e.Type, pod)
	}
	w.pods.Reached = func(version string) { tracker.reach(0, pullstate.ParseVersion(version)) }
	return w
}

// Demand makes the watch run until release is called, which may be done more than once.
func (w *Watch) Demand() (release func()) {
	w.demand(1)
	return sync.OnceFunc(func() { w.demand(-1) })
}

func (w *Watch) demand(change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.demands += change
	w.notifyLocked()
}

func (w *Watch) notifyLocked() {
	select {
	case w.demanded <- struct{}{}:
	default:
	}
}

// restart lists and watches anew. AwaitSync waits for that from now on.
func (w *Watch) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.restarts = true
	w.renewSyncLocked()
	w.notifyLocked()
}

// renewSyncLocked has whoever demands the watch from now on wait for the next session to sync.
func (w *Watch) renewSyncLocked() {
	w.role.synced.Store(false)
	w.synced = make(chan struct{})
}

// Run watches whenever it is demanded, until ctx is done. It may be called once.
func (w *Watch) Run(ctx context.Context) error {
	for w.awaitDemand(ctx, true) {
		w.mu.Lock()
		synced := w.synced
		w.restarts = false
		w.mu.Unlock()
		session, end := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { w.session(session, synced) })
		w.awaitDemand(ctx, false)
		end()
		wg.Wait()
		w.tracker.reset()
	}
	return nil
}

// awaitDemand waits until the watch is demanded, or no longer is or has to restart, and returns false when ctx is done before
// that.
func (w *Watch) awaitDemand(ctx context.Context, want bool) bool {
	for {
		w.mu.Lock()
		demanded := w.demands > 0
		if !demanded && !want {
			w.renewSyncLocked()
		}
		restarts := w.restarts && !want
		w.mu.Unlock()
		if (demanded == want || restarts) && ctx.Err() == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-w.demanded:
		}
	}
}

// AwaitSync waits until the Tracker knows every object that exists. Demand the watch before. The error is ctx's.
func (w *Watch) AwaitSync(ctx context.Context) error {
	w.mu.Lock()
	synced := w.synced
	w.mu.Unlock()
	select {
	case <-synced:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
