package kube

import (
	"errors"
	"hash/maphash"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// The pauses before the same write to the same Job is done once more. Each is twice as long as the one before.
const (
	shortestPause = 2 * time.Second
	longestPause  = 5 * time.Minute
)

// pace keeps the leader from repeating a write that does not help: it is refused, has no effect, or is undone by something else in
// the cluster.
type pace struct {
	seed  maphash.Seed
	tries map[write]*tries
	// again is when the first write may be repeated of those that were held back, or done, since begin; zero for none.
	again time.Time
	swept time.Time
}

// write is a kind of write to one Job.
type write struct {
	job  types.UID
	kind writeKind
}

type writeKind string

const (
	writeStart     writeKind = "start"
	writeRecord    writeKind = "record"
	writeHindrance writeKind = "hindrance"
	writeEnd       writeKind = "end"
	writeYield     writeKind = "yield"
	writeNotice    writeKind = "notice"
	writeDelete    writeKind = "delete"
)

// tries are the times in a row that the same was written.
type tries struct {
	content uint64
	count   int
	// refused is true if Kubernetes did not accept the last one.
	refused bool
	// next is when it may be written again.
	next time.Time
}

func newPace() *pace { return &pace{seed: maphash.MakeSeed(), tries: map[write]*tries{}} }

// begin comes before each round of the leader's work. It forgets writes that were not repeated for long.
func (p *pace) begin(now time.Time) {
	p.again = time.Time{}
	if now.Sub(p.swept) < longestPause {
		return
	}
	p.swept = now
	for w, last := range p.tries {
		if now.Sub(last.next) > longestPause {
			delete(p.tries, w)
		}
	}
}

// due reports whether content may be written now.
func (p *pace) due(w write, content string, now time.Time) bool {
	last := p.tries[w]
	if last == nil || last.content != maphash.String(p.seed, content) || !now.Before(last.next) {
		return true
	}
	p.wakeAt(last.next)
	return false
}

// wrote notes that content was written, or refused, and returns how often in a row.
func (p *pace) wrote(w write, content string, refused bool, now time.Time) int {
	last, hash := p.tries[w], maphash.String(p.seed, content)
	if last == nil || last.content != hash {
		last = &tries{content: hash}
		p.tries[w] = last
	}
	last.count++
	last.refused = refused
	last.next = now.Add(min(longestPause, shortestPause<<min(last.count-1, 10)))
	p.wakeAt(last.next)
	return last.count
}

// last returns the last tries of a write; zero for none.
func (p *pace) last(w write) tries {
	if last := p.tries[w]; last != nil {
		return *last
	}
	return tries{}
}

// nextStart returns when a Job may be started again; the zero time for at once.
func (p *pace) nextStart(job types.UID) time.Time { return p.last(write{job, writeStart}).next }

// forget forgets a write: when it is done again, that is the first time.
func (p *pace) forget(w write) { delete(p.tries, w) }

// wakeAt says that there may be work at a time.
func (p *pace) wakeAt(at time.Time) {
	if p.again.IsZero() || at.Before(p.again) {
		p.again = at
	}
}

// refused reports whether Kubernetes refused a write, so that other Jobs may be written to all the same. A webhook may refuse with any
// code. That the Job has changed, or is gone, is no refusal.
func refused(err error) bool {
	_, answered := errors.AsType[*apierrors.StatusError](err)
	return answered && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err)
}
