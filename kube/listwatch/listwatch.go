// Package listwatch keeps its caller informed of the objects of one kind: it lists them, watches from there, and takes a
// watch that ended up again. It keeps no objects, unlike client-go's reflector, and hands errors on to the caller.
package listwatch

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
	// watchLife is how long a watch is asked to live, up to twice as long. The API server is given Grace more to end it.
	watchLife = 5 * time.Minute
	// Grace is how long a watch may outlive its time.
	Grace = 30 * time.Second
	// ListTimeout bounds each list.
	ListTimeout = 10 * time.Second
)

// ListWatch lists and watches the objects of one kind. Its functions are called one after the other.
type ListWatch struct {
	// List hands all objects to the caller and returns the resourceVersion of the list.
	List func(ctx context.Context, options metav1.ListOptions) (resourceVersion string, err error)
	// Open starts a watch.
	Open func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
	// Apply takes one change.
	Apply func(watch.Event)
	// Reached takes the resourceVersion up to which everything has been handed over. Nil for nobody who wants it.
	Reached func(resourceVersion string)
	// Relist asks for a list that is newer than the request. Nil for never.
	Relist <-chan struct{}
	// Options select the objects.
	Options metav1.ListOptions

	version string
}

// errStale means that only a new list helps.
var errStale = errors.New("watch is stale")

// Start lists the objects for the first time.
func (w *ListWatch) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ListTimeout)
	defer cancel()
	version, err := w.List(ctx, w.Options)
	if err != nil {
		return err
	}
	w.Reach(version)
	return nil
}

// Reach says up to which resourceVersion everything has been handed over: the next watch begins there. A caller that has
// listed the objects by itself calls it instead of Start.
func (w *ListWatch) Reach(resourceVersion string) {
	w.version = resourceVersion
	if w.Reached != nil {
		w.Reached(resourceVersion)
	}
}

// Follow watches after Start. It lists anew when the server has forgotten the place where a watch ended. It returns when ctx
// is done, when the server forbids it, or with the usererr.Error of List.
func (w *ListWatch) Follow(ctx context.Context) error {
	backoff := NewBackoff()
	stale := false
	for {
		var err error
		if stale {
			err = w.Start(ctx)
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
			backoff = NewBackoff()
			continue
		}
		if !Sleep(ctx, backoff.Step()) {
			return ctx.Err()
		}
	}
}

// NewBackoff returns the pauses between tries: 100 ms at first, 5 s at most.
func NewBackoff() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 5 * time.Second}
}

// Sleep returns false when ctx is done before d has passed.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// watch hands over changes until the watch ends. moved tells whether anything came of it.
func (w *ListWatch) watch(ctx context.Context) (moved bool, err error) {
	life := watchLife + rand.N(watchLife)
	ctx, cancel := context.WithTimeout(ctx, life+Grace)
	defer cancel()
	seconds := int64(life.Seconds())
	options := w.Options
	options.ResourceVersion = w.version
	options.AllowWatchBookmarks = true
	options.TimeoutSeconds = &seconds
	watcher, err := w.Open(ctx, options)
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
				w.Apply(event)
			}
			w.Reach(object.GetResourceVersion())
		case <-w.Relist:
			return true, errStale
		case <-ctx.Done():
			return moved, ctx.Err()
		}
	}
}
