package kube

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"

	"pullwatch/internal/usererr"
)

const (
	// watchLife is how long a watch is asked to live, up to twice as long; after watchGrace more it is given up.
	watchLife  = 5 * time.Minute
	watchGrace = 30 * time.Second
	// listTimeout bounds each list.
	listTimeout = 10 * time.Second
)

// listWatch keeps its owner informed of a set of objects: it lists them, watches from there, takes a watch that ended
// up again, and lists anew when the server does not remember where that was.
type listWatch struct {
	// list hands all objects to the owner and returns the resource version of the list.
	list func(ctx context.Context, options metav1.ListOptions) (resourceVersion string, err error)
	// open starts a watch.
	open func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
	// apply hands over one change.
	apply func(watch.Event)
	// reached is told, if it is set, up to which resource version everything has been handed over.
	reached func(resourceVersion string)
	// relist asks for a list that is newer than the request.
	relist <-chan struct{}
	// options selects the objects.
	options metav1.ListOptions

	version string
}

// errStale means that only a new list helps.
var errStale = errors.New("watch is stale")

// start lists the objects for the first time.
func (w *listWatch) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	version, err := w.list(ctx, w.options)
	if err != nil {
		return err
	}
	w.reach(version)
	return nil
}

// reach notes up to where everything has been handed over.
func (w *listWatch) reach(version string) {
	w.version = version
	if w.reached != nil {
		w.reached(version)
	}
}

// follow watches after a start. It returns when ctx ends, when the server forbids it, or with list's usererr.Error.
func (w *listWatch) follow(ctx context.Context) error {
	backoff := newWatchBackoff()
	stale := false
	for {
		var err error
		if stale {
			err = w.start(ctx)
		}
		moved := false
		if err == nil {
			stale = false
			moved, err = w.watch(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case apierrors.IsForbidden(err), err != nil && usererr.CodeOf(err) != usererr.Internal:
			return err
		case errors.Is(err, errStale), apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			stale = true
		}
		if moved {
			backoff = newWatchBackoff()
			continue
		}
		timer := time.NewTimer(backoff.Step())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func newWatchBackoff() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 5 * time.Second}
}

// watch hands over changes until the watch ends. moved tells whether anything came of it.
func (w *listWatch) watch(ctx context.Context) (moved bool, err error) {
	life := watchLife + rand.N(watchLife)
	ctx, cancel := context.WithTimeout(ctx, life+watchGrace)
	defer cancel()
	seconds := int64(life.Seconds())
	options := w.options
	options.ResourceVersion = w.version
	options.AllowWatchBookmarks = true
	options.TimeoutSeconds = &seconds
	watcher, err := w.open(ctx, options)
	if err != nil {
		return false, err
	}
	defer watcher.Stop()
	for {
		select {
		case event, ok := <-watcher.ResultChan():
			if !ok {
				return moved, nil
			}
			if event.Type == watch.Error {
				return moved, apierrors.FromObject(event.Object)
			}
			object, err := meta.Accessor(event.Object)
			if err != nil {
				return moved, err
			}
			moved = true
			if event.Type != watch.Bookmark {
				w.apply(event)
			}
			w.reach(object.GetResourceVersion())
		case <-w.relist:
			return true, errStale
		case <-ctx.Done():
			return moved, ctx.Err()
		}
	}
}
