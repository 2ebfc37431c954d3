package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"pullwatch/kube/pullstate"
)

// endCopied ends the Jobs whose image is copied although containers that are not pullwatch's keep them from completing. It lets their
// deadline pass: Kubernetes then deletes the pod and, in time, the Job, as those of any other pull.
func (t *term) endCopied(ctx context.Context) error {
	ends, next := t.tracker.unsettledNow()
	if !next.IsZero() {
		t.pace.wakeAt(next)
	}
	var errs []error
	for _, end := range ends {
		err := t.paced(ctx, write{end.uid, writeEnd}, end.job, "", func() error {
			text, err := json.Marshal(end.record)
			if err != nil {
				return err
			}
			patch, err := json.Marshal(map[string]any{
				"metadata": map[string]any{"annotations": map[string]string{pullstate.AnnotationRecord: string(text)}},
				"spec":     map[string]any{"activeDeadlineSeconds": 1},
			})
			if err != nil {
				return err
			}
			if err := t.patch(ctx, end.job, patch); err != nil {
				return err
			}
			t.logger.Info("a Job was ended: its image is copied, and other containers have not ended or have failed", "job", end.job, "containers", end.record.Others)
			return nil
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("end the Job of the copied pull %s: %w", end.job, err))
		}
	}
	return errors.Join(errs...)
}

// jobEnd is a Job to end, with the record to write on it.
type jobEnd struct {
	job    string
	uid    types.UID
	record *pullstate.Record
}

// unsettledNow returns the Jobs that endCopied ends now, and when the next of the others is due.
func (t *Tracker) unsettledNow() (ends []jobEnd, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for name, tr := range t.unsettled {
		switch end, due, unsettled := tr.view().Unsettled(); {
		case !unsettled:
		case !due.After(now):
			end.Time = now.UTC()
			ends = append(ends, jobEnd{name, tr.job.UID, end})
		case next.IsZero() || due.Before(next):
			next = due
		}
	}
	return ends, next
}
