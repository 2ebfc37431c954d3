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

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/kube/pullstate"
)

// makeRoom puts pulls that cannot start back into the queue, as many as others wait for a slot and can take it, as far as is known.
// Kubernetes deletes their pods. What was tried for as long as a pull may take fails, whether others wait or not: its deadline passes.
func (t *term) makeRoom(ctx context.Context) error {
	yields, next := t.tracker.yielding(t.limit(), func(job *batchv1.Job) bool {
		return t.queue().Paused == nil && t.pace.due(write{job.UID, writeStart}, "", t.tracker.now())
	})
	if !next.IsZero() {
		t.pace.wakeAt(next)
	}
	var errs []error
	for _, y := range yields {
		err := t.paced(ctx, write{y.uid, writeYield}, y.job, strconv.Itoa(y.record.Yield.Count), func() error {
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
					"resourceVersion": y.version, // it may have ended just now, been canceled, or its status say that the pod is ready
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
		t.pace.forget(write{y.uid, writeStart}) // that it waits again is no other's doing
		if err != nil {
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

// yielding returns the Jobs that make room or are given up now, those that have tried for longest first, and when there may be another
// one to do so. startable reports whether the leader would start a Job if a slot was free.
func (t *Tracker) yielding(maxParallel int, startable func(*batchv1.Job) bool) (yields []yieldingJob, next time.Time) {
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
		switch {
		case tr.notBefore.After(now):
			earlier(tr.notBefore)
		case !tr.hindered && startable(tr.job):
			wanted++
		}
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
			if at := rec.Yield.GivesUp(tr.job); !giveUp && !at.IsZero() {
				earlier(at)
			}
		}
	}
	slices.SortFunc(yields, func(a, b yieldingJob) int { return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.job, b.job)) })
	return slices.DeleteFunc(yields, func(y yieldingJob) bool {
		if y.giveUp {
			return false
		}
		wanted--
		return wanted < 0
	}), next
}
