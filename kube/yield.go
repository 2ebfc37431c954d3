package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"pullwatch/kube/pullstate"
)

// makeRoom puts pulls that cannot start back into the queue, as many as others wait for a slot. Kubernetes deletes their pods. What was
// tried for as long as a pull may take fails instead: its deadline passes.
func (t *term) makeRoom(ctx context.Context) error {
	if t.queue().Paused != nil {
		return nil // nobody would take it
	}
	yields, next := t.tracker.yielding(t.limit())
	if !next.IsZero() {
		t.pace.wakeAt(next)
	}
	var errs []error
	for _, y := range yields {
		err := t.paced(write{y.uid, writeYield}, y.job, strconv.Itoa(y.record.Yield.Count), func() error {
			text, err := json.Marshal(y.record)
			if err != nil {
				return err
			}
			spec := map[string]any{"suspend": true}
			if y.giveUp {
				spec = map[string]any{"activeDeadlineSeconds": 1}
			}
			patch, err := json.Marshal(map[string]any{
				"metadata": map[string]any{
					"resourceVersion": y.version, // it may have started just now
					"annotations": map[string]any{
						pullstate.AnnotationRecord:    string(text),
						pullstate.AnnotationHindrance: nil, // what kept it in the queue before
					},
				},
				"spec": spec,
			})
			if err != nil {
				return err
			}
			return t.patch(ctx, y.job, patch)
		})
		t.pace.forget(write{y.uid, writeStart})       // that it waits again is no other's doing
		if err != nil && !apierrors.IsConflict(err) { // after a conflict the watch brings the Job as it is now
			errs = append(errs, fmt.Errorf("put pull %s back into the queue: %w", y.job, err))
		}
	}
	return errors.Join(errs...)
}

// yieldingJob is a Job that makes room, with the record to write on it.
type yieldingJob struct {
	jobEnd
	version string
	since   time.Time
	giveUp  bool
}

// yielding returns the Jobs that make room now, those that have tried for longest first, and when there may be another one to do so.
func (t *Tracker) yielding(maxParallel int) (yields []yieldingJob, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	running, _ := t.slotsHeldLocked()
	wanted, now := running-maxParallel, t.now()
	earlier := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, tr := range t.queued {
		if wanted == maxParallel {
			break
		}
		if at := pullstate.NotBefore(tr.job); at.After(now) {
			earlier(at)
		} else {
			wanted++
		}
	}
	if wanted <= 0 {
		return nil, next
	}
	for _, tr := range t.slots {
		if tr.job == nil {
			continue
		}
		switch rec, due, giveUp := tr.view().Yields(now); {
		case rec == nil:
		case due.After(now):
			earlier(due)
		default:
			yields = append(yields, yieldingJob{jobEnd{tr.name, tr.job.UID, rec}, tr.job.ResourceVersion, due, giveUp})
		}
	}
	slices.SortFunc(yields, func(a, b yieldingJob) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.job, b.job)) })
	return yields[:min(wanted, len(yields))], next
}
