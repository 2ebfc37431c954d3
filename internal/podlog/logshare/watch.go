package logshare

import (
	"context"

	"pullwatch/internal/podlog"
)

// WatchPods implements podlog.Source. All subscribers of the same target share its snapshots, which must not be changed. A
// slow subscriber gets only the latest snapshot next. A new subscriber begins with the last snapshot of the watch.
func (s *Source) WatchPods(ctx context.Context, target podlog.Target, deliver func(podlog.Snapshot)) error {
	w := s.subscribe(target)
	defer s.unsubscribe(target, w)
	for seen := 0; ; {
		s.mu.Lock()
		snapshot, version, changed := w.latest, w.version, w.changed
		s.mu.Unlock()
		if ctx.Err() == nil && version != seen {
			seen = version
			deliver(snapshot)
			continue
		}
		select {
		case <-changed:
		case <-w.done:
			if w.version == seen {
				return w.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Source) subscribe(target podlog.Target) *watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.watches[target]; ok {
		w.subscribers++
		s.metrics.watchesSaved.Inc()
		return w
	}
	// The watch may outlive its first subscriber. It ends with its last one.
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{cancel: cancel, done: make(chan struct{}), subscribers: 1, changed: make(chan struct{})}
	s.watches[target] = w
	s.metrics.watches.Inc()
	go func() {
		defer close(w.done)
		w.err = s.source.WatchPods(ctx, target, func(snapshot podlog.Snapshot) { s.publish(w, snapshot) })
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(target, w)
		s.metrics.watches.Dec()
	}()
	return w
}

func (s *Source) publish(w *watch, snapshot podlog.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.latest = snapshot
	w.version++
	close(w.changed)
	w.changed = make(chan struct{})
}

// forget removes a watch that ends, so that nobody subscribes to it. mu is held.
func (s *Source) forget(target podlog.Target, w *watch) {
	if s.watches[target] == w {
		delete(s.watches, target)
	}
}

// unsubscribe ends the watch with its last subscriber, and waits for its end.
func (s *Source) unsubscribe(target podlog.Target, w *watch) {
	s.mu.Lock()
	w.subscribers--
	last := w.subscribers == 0
	if last {
		s.forget(target, w)
	}
	s.mu.Unlock()
	if last {
		w.cancel()
		<-w.done
	}
}
