package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pullwatch/kube/pullstate"
)

// endCopied ends the Jobs whose image is copied although containers that are not pullwatch's keep them from completing. It lets their
// deadline pass: Kubernetes then deletes the pod and, in time, the Job, as those of any other pull.
func (t *term) endCopied(ctx context.Context) error {
	var errs []error
	for name, end := range t.tracker.unsettledNow() {
		text, err := json.Marshal(end)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"annotations": map[string]string{pullstate.AnnotationRecord: string(text)}},
			"spec":     map[string]any{"activeDeadlineSeconds": 1},
		})
		if err == nil {
			err = t.patch(ctx, name, patch)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("end the Job of the copied pull %s: %w", name, err))
			continue
		}
		t.logger.Info("a Job was ended because its image is copied and other containers have not ended, or have failed", "job", name, "containers", end.Others)
	}
	return errors.Join(errs...)
}

// unsettledNow returns the Jobs that endCopied ends now, with the record to write.
func (t *Tracker) unsettledNow() map[string]*pullstate.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, ends := t.now(), map[string]*pullstate.Record{}
	for name, tr := range t.unsettled {
		if end, due, unsettled := tr.view().Unsettled(); unsettled && !due.After(now) {
			end.Time = now.UTC()
			ends[name] = end
		}
	}
	return ends
}

// settling returns a channel that has a value when a Job of unsettled is due, nil when none will be.
func (t *Tracker) settling() <-chan time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first time.Time
	for _, tr := range t.unsettled {
		if _, due, unsettled := tr.view().Unsettled(); unsettled && (first.IsZero() || due.Before(first)) {
			first = due
		}
	}
	if first.IsZero() {
		return nil
	}
	return time.After(max(0, first.Sub(t.now())))
}
