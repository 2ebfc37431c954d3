package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"pullwatch/pull"
)

// newRecord returns what is known of a pull's newest attempt and not yet written on its Job, nil when nothing is.
func newRecord(tr *tracked) *record {
	var newest *corev1.Pod
	for _, pod := range tr.pods {
		if newest == nil || newest.CreationTimestamp.Before(&pod.CreationTimestamp) {
			newest = pod
		}
	}
	if newest == nil {
		return nil
	}
	log := tr.logs[newest.UID]
	seen, old := evidence(newest, log), readRecord(tr.job)
	if copier := copierStatus(newest); copier != nil && copier.State.Running != nil && old != nil && old.Pod == newest.UID {
		// What it waited for is over, and must not stand for its end should the pod vanish.
		seen = &record{Pod: newest.UID, Ran: true, Outcome: pull.Outcome{Reason: pull.Unknown, Message: "The copier's pod was removed while it ran."}}
	}
	if seen == nil || (seen.Ended && seen.Outcome.Reason != "" && needsReading(tr, newest)) {
		return nil
	}
	if old != nil && old.Pod == seen.Pod && old.Ran == seen.Ran && old.Ended == seen.Ended && old.Outcome.Reason == seen.Outcome.Reason && old.Outcome.Digest == seen.Outcome.Digest {
		return nil
	}
	seen.Attempts = tr.state.Attempts
	switch {
	case old == nil:
	case old.Pod == seen.Pod:
		seen.Before = old.Before
	default:
		seen.Before = cmp.Or(old.image(), old.Before)
	}
	return seen
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
