package kube

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/internal/usererr"
)

// admission lets pulls into the queue while fewer than limit wait in it.
type admission struct {
	limit   int
	known   Known
	refused atomic.Int64

	mu sync.Mutex
	// starting holds the pulls that were admitted and may not be known yet, and how many calls start each.
	starting map[string]int
}

func newAdmission(limit int, known Known) *admission {
	return &admission{limit: limit, known: known, starting: map[string]int{}}
}

// admit counts a pull among those that wait. It returns a usererr.LimitExceeded when the queue is full. A pull that another call
// is starting, or has just started, is counted already. release ends what admit began.
func (a *admission) admit(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.starting[id] == 0 && a.known.Latest(id) == nil {
		if n := a.known.Queued(maps.Keys(a.starting)); n >= a.limit {
			a.refused.Add(1)
			return usererr.New(usererr.LimitExceeded, "%d pulls wait in the queue, and this server allows %d: "+
				"try again when some have started, or cancel some", n, a.limit)
		}
	}
	a.starting[id]++
	return nil
}

// release ends what admit began: the pulls are known by now, or were not made.
func (a *admission) release(ids ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if a.starting[id]--; a.starting[id] == 0 {
			delete(a.starting, id)
		}
	}
}

// starts are the pulls of one call that were admitted. They are released together, when all of them are known.
type starts struct {
	admission *admission
	ids       []string
	// made are the Jobs that were made.
	made []*batchv1.Job
}

func (s *starts) admit(id string) error {
	if err := s.admission.admit(id); err != nil {
		return err
	}
	s.ids = append(s.ids, id)
	return nil
}

// withdraw releases the pull that was admitted last: no Job was made.
func (s *starts) withdraw() {
	last := len(s.ids) - 1
	s.admission.release(s.ids[last])
	s.ids = s.ids[:last]
}

// hasMade reports whether the call has made the Job of a pull.
func (s *starts) hasMade(id string) bool {
	return slices.ContainsFunc(s.made, func(job *batchv1.Job) bool { return job.Name == id })
}

func (s *starts) end() { s.admission.release(s.ids...) }
