package pull

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Supersedes reports whether j is a later state than k of the same pull. A last state supersedes every other one; and a
// name that is used again, once its Job was gone, is a new pull's.
func (j *Job) Supersedes(k *Job) bool {
	final := func(j *Job) int {
		if j.Phase.Final() {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(j.CreatedAt.UnixMilli(), k.CreatedAt.UnixMilli()),
		cmp.Compare(final(j), final(k)),
		j.Revision.Compare(k.Revision),
	) > 0
}

// Same reports whether two states of a pull differ in nothing that a client sees but their place in the order.
func (j *Job) Same(k *Job) bool {
	c := *k
	c.Revision, c.Position, c.UpdatedAt = j.Revision, j.Position, j.UpdatedAt
	return reflect.DeepEqual(j, &c)
}

// OrderKey returns a text of fixed length that is greater, byte by byte, than that of each state that j supersedes.
func (j *Job) OrderKey() string {
	final := 0
	if j.Phase.Final() {
		final = 1
	}
	return fmt.Sprintf("%012x%d%016x%012x", min(max(0, j.CreatedAt.UnixMilli()), 1<<48-1), final, j.Revision.Cluster, min(j.Revision.Step, 1<<48-1))
}

// LostJob returns the last state of a pull whose Job is gone without having ended and without a cancellation, as seen at the
// given moment.
func LostJob(last *Job, at time.Time) *Job {
	s := *last
	s.Phase, s.FinishedAt, s.UpdatedAt = Failed, at.UTC(), at.UTC()
	s.Progress.BytesPerSecond, s.Progress.SecondsLeft = nil, nil
	s.Failure = &Failure{
		Reason:  Lost,
		Message: "Its Job is gone although it had not ended: somebody deleted it, or it was canceled while this server could not see the cluster.",
		LogTail: []string{},
	}
	s.Message = s.Failure.Message
	s.Revision, s.Position = Revision{last.Revision.Cluster, last.Revision.Step + 1}, Position{}
	return &s
}

// SortActive orders pulls as activePulls lists them: newest first.
func SortActive(jobs []*Job) {
	slices.SortFunc(jobs, func(a, b *Job) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// SortFailed orders pulls as failedPulls lists them: the one that failed last first.
func SortFailed(jobs []*Job) {
	slices.SortFunc(jobs, func(a, b *Job) int {
		return cmp.Or(b.FinishedAt.Compare(a.FinishedAt), cmp.Compare(a.ID, b.ID))
	})
}
