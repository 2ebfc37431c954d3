package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"pullwatch/kube/pullstate"
)

// recordAttempts writes on each Job how its last attempt fared. When one Job cannot be written, the others are all the
// same.
func (t *term) recordAttempts(ctx context.Context) error {
	type work struct {
		name string
		rec  *pullstate.Record
	}
	var todo []work
	var errs []error
	t.tracker.mu.Lock()
	for name, tr := range t.tracker.unrecorded {
		if rec := t.tracker.unwrittenLocked(tr.view()); rec != nil {
			todo = append(todo, work{name, rec})
		}
	}
	t.tracker.mu.Unlock()
	for _, w := range todo {
		w.rec.Time = t.tracker.now().UTC()
		text, err := json.Marshal(w.rec)
		if err != nil {
			errs = append(errs, fmt.Errorf("record how pull %s fared: %w", w.name, err))
			continue
		}
		if err := t.annotate(ctx, w.name, pullstate.AnnotationRecord, string(text)); err != nil {
			errs = append(errs, fmt.Errorf("record how pull %s fared: %w", w.name, err))
		}
	}
	return errors.Join(errs...)
}

// unwrittenLocked returns what is to be written on a Job, nil when nothing is.
func (t *Tracker) unwrittenLocked(view *pullstate.View) *pullstate.Record {
	if view.Decided() {
		return nil
	}
	if unwritten := view.Unwritten(); unwritten != nil {
		return unwritten
	}
	return view.Hindered(t.warningLocked)
}

// annotate sets an annotation on a Job. A Job that is gone is no error.
func (t *term) annotate(ctx context.Context, name, annotation, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: value}}})
	if err != nil {
		return err
	}
	return t.patch(ctx, name, patch)
}
