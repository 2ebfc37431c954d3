package kube

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	if seen == nil || (seen.Ran && seen.Outcome.Reason != "" && needsReading(tr, newest)) {
		return nil
	}
	if old != nil && old.Pod == seen.Pod && old.Ran == seen.Ran && old.Outcome.Reason == seen.Outcome.Reason && old.Outcome.Digest == seen.Outcome.Digest {
		return nil
	}
	seen.Attempts = tr.state.Attempts
	return seen
}

// recordAttempts writes on each Job what newRecord returns for it. A record that cannot be written is tried again with the
// next change; its error is returned.
func (l *Leader) recordAttempts(ctx context.Context) error {
	type work struct {
		name string
		rec  *record
	}
	var todo []work
	t := l.tracker
	t.mu.Lock()
	for name, tr := range t.unrecorded {
		if rec := newRecord(tr); rec != nil {
			todo = append(todo, work{name, rec})
		}
	}
	t.mu.Unlock()
	for _, w := range todo {
		w.rec.Time = t.now().UTC()
		text, err := json.Marshal(w.rec)
		if err != nil {
			return fmt.Errorf("record how pull %s fared: %w", w.name, err)
		}
		if err := l.annotate(ctx, w.name, annotationRecord, string(text)); err != nil {
			return fmt.Errorf("record how pull %s fared: %w", w.name, err)
		}
	}
	return nil
}

// annotate sets an annotation on a Job; a Job that is gone needs none.
func (l *Leader) annotate(ctx context.Context, name, annotation, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: value}}})
	if err != nil {
		return err
	}
	return l.patch(ctx, name, patch)
}

func (l *Leader) patch(ctx context.Context, name string, patch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	job, err := l.jobs.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	l.tracker.observeJob(job)
	return nil
}
