// Package listwatch gives its caller all objects of one kind and their changes: it lists the objects, watches from the
// list's resourceVersion, and opens a watch again when it ends. Unlike client-go's reflector, it stores no objects, and
// returns errors to the caller.
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
	// watchLife is the least time after which the API server is asked to end a watch; the most is twice that.
	watchLife = 5 * time.Minute
	// Grace is how long after that the client ends a watch that the API server has not ended.
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
	// Reached takes the resourceVersion up to which the caller has all changes. May be nil.
	Reached func(resourceVersion string)
	// Each value of Relist asks for a list that is newer than the value. May be nil.
	Relist <-chan struct{}
	// Options select the objects.
	Options metav1.ListOptions

	version string
}

// errStale means that a new list is needed.
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

// Reach sets the resourceVersion up to which the caller has all changes. The next watch begins there. A caller that has listed
// the objects by itself calls Reach instead of Start.
func (w *ListWatch) Reach(resourceVersion string) {
	w.version = resourceVersion
	if w.Reached != nil {
		w.Reached(resourceVersion)
	}
}

// Follow watches after Start. It lists again when the server does not remember the resourceVersion where a watch ended. It
// returns when ctx is done, when the server forbids the request, or with a usererr.Error of List.
func (w *ListWatch) Follow(ctx context.Context) error {
	backoff := NewBackoff()
	stale := false
	for {
		var err error
		if stale {
			err = w.Start(ctx)
		}
		progressed := false
		if err == nil {
			stale = false
			progressed, err = w.watch(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case apierrors.IsForbidden(err), err != nil && usererr.CodeOf(err) != usererr.Internal:
			return err
		case errors.Is(err, errStale), apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			stale = true
		}
		if progressed {
			backoff = NewBackoff()
			continue
		}
		if !Sleep(ctx, backoff.Step()) {
			return ctx.Err()
		}
	}
}

// NewBackoff returns the pauses between requests that fail: 100 ms at first, 5 s at most.
func NewBackoff() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 5 * time.Second}
}

// Sleep waits for d. It returns false when ctx is done first.
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

// watch applies changes until the watch ends. progressed means that there was an event, or that a new list was asked for.
func (w *ListWatch) watch(ctx context.Context) (progressed bool, err error) {
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
				return progressed, nil
			}
			if event.Type == watch.Error {
				return progressed, apierrors.FromObject(event.Object)
			}
			object, err := meta.Accessor(event.Object)
			if err != nil {
				return progressed, err
			}
			progressed = true
			if event.Type != watch.Bookmark {
				w.Apply(event)
			}
			w.Reach(object.GetResourceVersion())
		case <-w.Relist:
			return true, errStale
		case <-ctx.Done():
			return progressed, ctx.Err()
		}
	}
}
