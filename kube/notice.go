package kube

import (
	"context"
	"slices"

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/kube/pullstate"
)

// maxNotices is how many notices are written in one round. Then the leader's other work has its turn.
const maxNotices = 50

// writeNotices writes on each queued Job what is to be said of the queue, so that all replicas tell it to all who follow the pull. It
// costs a write for each Job whenever the queue is paused or goes on, and for those of a scope when it is slowed down or no longer is.
func (t *term) writeNotices(ctx context.Context) error {
	due := t.tracker.noticesDue(t.notice)
	if len(due) > maxNotices {
		due = due[:maxNotices]
		t.pace.wakeAt(t.tracker.now())
	}
	for _, n := range due {
		err := t.paced(ctx, write{n.job.UID, writeNotice}, n.job.Name, n.message, func() error {
			notice, err := pullstate.Notice{Message: n.message, Time: t.tracker.now().UTC()}.Annotation()
			if err != nil {
				return err
			}
			return t.annotate(ctx, n.job.Name, map[string]any{pullstate.AnnotationNotice: notice})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dueNotice is a notice that is to be written on a Job.
type dueNotice struct {
	job     *batchv1.Job
	message string
}

// noticesDue returns the queued Jobs on which another notice stands than message returns, the oldest first.
func (t *Tracker) noticesDue(message func(pullstate.Identity) string) []dueNotice {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []*tracked
	for _, tr := range t.queued {
		if tr.notice != message(tr.identity) {
			due = append(due, tr)
		}
	}
	slices.SortFunc(due, byAge)
	notices := make([]dueNotice, len(due))
	for i, tr := range due {
		notices[i] = dueNotice{tr.job, message(tr.identity)}
	}
	return notices
}
