package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"pullwatch/internal/pull"
)

// newRecord returns what is known of a pull's newest attempt and not yet written on its Job, nil when nothing is.
func newRecord(tr *tracked) *record {
	pods := slices.Collect(maps.Values(tr.pods))
	if len(pods) == 0 {
		return nil
	}
	newest := slices.MaxFunc(pods, comparePods)
	log := tr.logs[newest.UID]
	seen, old := evidence(newest, log), readRecord(tr.job)
	if copier := copierStatus(newest); copier != nil && copier.State.Running != nil && old != nil && old.Pod == newest.UID {
		// What it waited for is over, and must not stand for its end should the pod vanish.
		seen = &record{Pod: newest.UID, Ran: true, Outcome: pull.Outcome{Reason: pull.Unknown, Message: "The copier's pod was removed while it ran."}}
	}
	if seen == nil || (seen.Ended && seen.Outcome.Reason != "" && needsReading(tr, newest)) {
		return nil
	}
	if old.covers(seen) {
		return nil
	}
	seen.Attempts = attempts(pods, old)
	switch {
	case old == nil:
	case old.Pod == seen.Pod:
		seen.Before, seen.Held = old.Before, old.Held
	default:
		seen.Before, seen.Held = cmp.Or(old.image(), old.Before), old.held()
	}
	return seen
}

// recorded reports whether all that is to be known of a Job that has ended is written on it.
func recorded(job *batchv1.Job, pods []*corev1.Pod) bool {
	rec := readRecord(job)
	if rec == nil || len(pods) == 0 {
		return rec != nil
	}
	seen := evidence(slices.MaxFunc(pods, comparePods), copierLog{})
	return seen == nil || rec.covers(seen)
}

// recordAttempts writes on each Job what newRecord returns for it. One that
// cannot be written keeps none of the others waiting.
func (t *term) recordAttempts(ctx context.Context) error {
	type work struct {
		name string
		rec  *record
	}
	var todo []work
	var errs []error
	t.tracker.mu.Lock()
	for name, tr := range t.tracker.unrecorded {
		if rec := newRecord(tr); rec != nil {
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
		if err := t.annotate(ctx, w.name, annotationRecord, string(text)); err != nil {
			errs = append(errs, fmt.Errorf("record how pull %s fared: %w", w.name, err))
		}
	}
	return errors.Join(errs...)
}

// annotate sets an annotation on a Job; a Job that is gone needs none.
func (t *term) annotate(ctx context.Context, name, annotation, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: value}}})
	if err != nil {
		return err
	}
	return t.patch(ctx, name, patch)
}
