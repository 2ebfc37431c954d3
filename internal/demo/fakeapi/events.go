package fakeapi

import (
	"fmt"
	"sort"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// event is one change of one object. It is immutable.
type event struct {
	version uint64
	kind    watch.EventType
	object  Object
	// previous is the object before the change. It is nil for a new object.
	previous Object

	frames [encodingCount]struct {
		once sync.Once
		data []byte
		err  error
	}
}

// frame encodes the event once for all watchers.
func (e *event) frame(enc *encoding) ([]byte, error) {
	f := &e.frames[enc.index]
	f.once.Do(func() { f.data, f.err = enc.frame(e.kind, e.object) })
	return f.data, f.err
}

// eventLog holds the latest events of a resource, the oldest first. Each watcher reads it at its own pace: it needs no buffer,
// and a slow one only loses its own place. The store's lock guards it.
type eventLog struct {
	window int
	events []*event
	// dropped is the version of the newest event that was dropped.
	dropped uint64
	// changed is closed at the next event. It is nil while nobody waits.
	changed chan struct{}
}

func (l *eventLog) append(e *event) {
	l.events = append(l.events, e)
	if len(l.events) >= 2*l.window {
		// Readers hold slices of the old array, so it must not change.
		cut := len(l.events) - l.window
		l.dropped = l.events[cut-1].version
		l.events = append(make([]*event, 0, 2*l.window), l.events[cut:]...)
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// after returns the events after version, and a channel that is closed when there are more. It fails with 410 Expired if some
// of them were dropped.
func (l *eventLog) after(version uint64) ([]*event, <-chan struct{}, error) {
	if version < l.dropped {
		return nil, nil, apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", version, l.dropped))
	}
	first := sort.Search(len(l.events), func(i int) bool { return l.events[i].version > version })
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.events[first:], l.changed, nil
}
