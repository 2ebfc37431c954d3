package kube

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

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

// admit counts a pull among those that wait. It returns a usererr.LimitExceeded when as many wait as may. A pull that another
// call is starting, or has just started, is counted already. release ends what admit began.
func (e *admission) admit(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.starting[id] == 0 && e.known.Latest(id) == nil {
		if n := e.known.Queued(maps.Keys(e.starting)); n >= e.limit {
			e.refused.Add(1)
			return usererr.New(usererr.LimitExceeded, "%d pulls wait in the queue, and this server allows %d: "+
				"try again when some have started, or cancel some", n, e.limit)
		}
	}
	e.starting[id]++
	return nil
}

// release ends what admit began: the pulls are known by now, or were not made.
func (e *admission) release(ids ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if e.starting[id]--; e.starting[id] == 0 {
			delete(e.starting, id)
		}
	}
}

// starts are the pulls of one call that were admitted. They are released together, when all of them are known.
type starts struct {
	admission *admission
	ids       []string
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

func (s *starts) end() { s.admission.release(s.ids...) }

// Register registers with r how many starts of pulls were refused.
func (p *Pulls) Register(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "pullwatch_pulls_refused_total",
		Help: "Pulls that were not started because as many waited in the queue as may.",
	}, func() float64 { return float64(p.admission.refused.Load()) }))
}
