package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"pullwatch/kube/pullstate"
)

// recordAttempts writes on each Job how its last attempt fared. When one Job cannot be written, the others are all the
// same.
func (t *term) recordAttempts(ctx context.Context) error {
	type work struct {
		name string
		uid  types.UID
		rec  *pullstate.Record
	}
	var todo []work
	var errs []error
	t.tracker.mu.Lock()
	for name, tr := range t.tracker.unrecorded {
		if rec := t.tracker.unwrittenLocked(tr.view()); rec != nil {
			todo = append(todo, work{name, tr.job.UID, rec})
		}
	}
	t.tracker.mu.Unlock()
	for _, w := range todo {
		if err := t.record(ctx, w.name, w.uid, w.rec); err != nil {
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
	return view.Warned(t.warningLocked)
}

// record writes a record on a Job.
func (t *term) record(ctx context.Context, name string, uid types.UID, rec *pullstate.Record) error {
	content, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return t.paced(ctx, write{uid, writeRecord}, name, string(content), func() error {
		rec.Time = t.tracker.now().UTC()
		text, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{pullstate.AnnotationRecord: string(text)}}})
		if err != nil {
			return err
		}
		return t.patchOrAnnotate(ctx, name, patch)
	})
}
