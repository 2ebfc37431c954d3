package chaos

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// journal has the faults in the order in which they came.
type journal struct {
	began   time.Time
	mu      sync.Mutex
	records []*record
}

type record struct {
	fault fault
	hit   []int // indices of replicas
	from  time.Time
	to    time.Time // zero while it goes on
}

func (j *journal) begin(f fault, hit []*replica) *record {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &record{fault: f, from: time.Now()}
	for _, one := range hit {
		r.hit = append(r.hit, one.index)
	}
	j.records = append(j.records, r)
	return r
}

func (j *journal) end(r *record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r.to = time.Now()
}

// aftermath is how long the consequences of a fault last after its end.
const aftermath = 20 * time.Second

// any reports whether a fault for which something is so lasted, or had its aftermath, between two moments.
func (j *journal) any(from, to time.Time, so func(*record) bool) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.records {
		if r.from.Before(to) && (r.to.IsZero() || r.to.Add(aftermath).After(from)) && so(r) {
			return true
		}
	}
	return false
}

// redis reports whether Redis was away, or had lost something, for some replica between two moments.
func (j *journal) redis(from, to time.Time) bool {
	return j.any(from, to, func(r *record) bool { return r.fault.part == redisPart })
}

// forgetful reports whether replicas or Redis may have forgotten pulls whose Jobs are gone.
func (j *journal) forgetful(from, to time.Time) bool {
	return j.any(from, to, func(r *record) bool { return r.fault.part == redisPart || r.fault.part == processes })
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var lines []string
	for _, r := range j.records {
		to := "…"
		if !r.to.IsZero() {
			to = fmt.Sprintf("%.2f", r.to.Sub(j.began).Seconds())
		}
		lines = append(lines, fmt.Sprintf("  %6.2f – %s s %s, replicas %v", r.from.Sub(j.began).Seconds(), to, r.fault.name, r.hit))
	}
	return strings.Join(lines, "\n")
}
