package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"pullwatch/e2e/harness"
)

// A seed has several streams of random numbers, so that none depends on how much is drawn from another.
const (
	streamFaults = iota
	streamKubelet
	streamSubscribers
	streamUsers = 100
)

// blow is a fault and its time, counted from the beginning of the run.
type blow struct {
	fault     fault
	at, lasts time.Duration
	// target is the index of the replica that is hit, where it is any one or nobody leads.
	target int
}

func (b blow) String() string {
	target := ""
	if b.fault.who == anyone {
		target = fmt.Sprintf(" of replica %d", b.target)
	}
	return fmt.Sprintf("%s%s at %.1f s for %.1f s", b.fault.name, target, b.at.Seconds(), b.lasts.Seconds())
}

// schedule returns the blows of a seed, which begin within length.
func schedule(seed uint64, from []fault, length time.Duration) []blow {
	random := rand.New(rand.NewPCG(seed, streamFaults))
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(random.Int64N(int64(most-least)))
	}
	draw := func(at time.Duration) blow {
		b := blow{fault: from[random.IntN(len(from))], at: at, target: random.IntN(replicas)}
		switch longer := random.IntN(4) == 0; {
		case b.fault.long:
			b.lasts = between(11*time.Second, 17*time.Second)
		case longer:
			b.lasts = between(8*time.Second, 14*time.Second)
		default:
			b.lasts = between(500*time.Millisecond, 6*time.Second)
		}
		return b
	}
	var blows []blow
	for at := time.Second; at < length; {
		first := draw(at)
		blows = append(blows, first)
		at += first.lasts
		second := draw(first.at + between(0, first.lasts))
		if random.IntN(3) == 0 && second.fault.part != first.fault.part {
			blows = append(blows, second)
			at = max(at, second.at+second.lasts)
		}
		at += between(500*time.Millisecond, 4*time.Second)
		if random.IntN(12) == 0 && length > 2*aftermath {
			at += aftermath // all becomes as if nothing had been
		}
	}
	return blows
}

// strike lets the blows come and end, each at its time.
func (w *world) strike(blows []blow) {
	w.t.Helper()
	type step struct {
		at time.Duration
		do func()
	}
	var steps []step
	for _, b := range blows {
		var end func()
		var r *record
		steps = append(steps, step{b.at, func() {
			hit := w.hit(b)
			r = w.journal.begin(b.fault, hit)
			end = b.fault.begin(w, hit)
		}}, step{b.at + b.lasts, func() {
			end()
			w.journal.end(r)
		}})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	for _, s := range steps {
		harness.Pause(w.t, max(0, time.Until(w.began.Add(s.at))))
		s.do()
	}
}

// hit returns the replicas that a blow hits.
func (w *world) hit(b blow) []*replica {
	switch b.fault.who {
	case nobody:
		return nil
	case everyone:
		return w.replicas
	case leader:
		if r := w.leader(); r != nil {
			return []*replica{r}
		}
	}
	return w.replicas[b.target : b.target+1]
}

// describe returns a schedule for people.
func describe(blows []blow) string {
	var lines []string
	for _, b := range blows {
		lines = append(lines, "  "+b.String())
	}
	return strings.Join(lines, "\n")
}
