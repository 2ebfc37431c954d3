package kube

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"

	"pullwatch/kube/listwatch"
	"pullwatch/kube/pullstate"
)

// What keeps a pod from being created, and some of what keeps it from starting, stands in events only. The leader reads them, and
// writes on the Job what they say (record.go): so all replicas make the same state, and it outlives the event.

// maxWarnings is more than the Jobs and pods of a namespace that cannot start at a time.
const maxWarnings = 4096

// eventsPage is how many events one request lists.
const eventsPage = 500

// watchWarnings reads the warnings among the namespace's events until ctx is done. There are none while all is well, however many
// pulls there are. Without the right to read events, pulls that cannot start do not say why.
func (l *Leader) watchWarnings(ctx context.Context) {
	l.tracker.beginWarnings()
	defer l.tracker.endWarnings()
	client := l.events
	w := &listwatch.ListWatch{Options: metav1.ListOptions{FieldSelector: "type=" + corev1.EventTypeWarning}}
	w.List = func(ctx context.Context, o metav1.ListOptions) (string, error) {
		for o.Limit = eventsPage; ; {
			list, err := client.List(ctx, o)
			if err != nil {
				return "", err
			}
			for i := range list.Items {
				l.tracker.observeEvent(&list.Items[i])
			}
			if o.Continue = list.Continue; o.Continue == "" {
				return list.ResourceVersion, nil
			}
		}
	}
	logged := false
	w.Open = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		opened, err := client.Watch(ctx, o)
		if err == nil && logged {
			l.logger.Info("events can be read again")
			logged = false
		}
		return opened, err
	}
	w.Apply = func(e watch.Event) {
		if event, ok := e.Object.(*corev1.Event); ok && e.Type != watch.Deleted {
			l.tracker.observeEvent(event)
		}
	}
	// Rights that are missing are mostly missing for long.
	slowly := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 8, Cap: time.Minute}
	backoff := slowly
	for {
		began := time.Now()
		err := w.Start(ctx)
		if err == nil {
			err = w.Follow(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if !logged {
			l.logger.Warn("events cannot be read, so pulls that cannot start may not say why", "error", err)
			logged = true
		}
		if time.Since(began) > listwatch.Grace {
			backoff = slowly
		}
		if !listwatch.Sleep(ctx, backoff.Step()) {
			return
		}
	}
}

func (t *Tracker) beginWarnings() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.warnings = newRecent[types.UID, *pullstate.Warning](maxWarnings)
}

func (t *Tracker) endWarnings() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.warnings = nil
}

// warningLocked returns the latest warning about an object, nil for none.
func (t *Tracker) warningLocked(object types.UID) *pullstate.Warning {
	if t.warnings == nil {
		return nil
	}
	w, _ := t.warnings.get(object)
	return w
}

// observeEvent takes an event that is new or has come again.
func (t *Tracker) observeEvent(event *corev1.Event) {
	w := pullstate.ReadWarning(event)
	if w == nil {
		return
	}
	object := event.InvolvedObject
	job := object.Name
	if object.Kind == "Pod" {
		job = job[:max(0, strings.LastIndexByte(job, '-'))] // as the Job controller names pods
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.warnings == nil {
		return
	}
	before := t.warningLocked(object.UID)
	if before != nil && before.Time.After(w.Time) {
		return
	}
	t.warnings.put(object.UID, w.MoreTelling(before))
	if tr := t.pulls[job]; tr != nil {
		t.updateLocked(tr)
		t.changed.Notify()
	}
}
