package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"
)

// pace is how thoroughly all is measured.
type pace struct {
	// rounds is how often the candidates take turns, so that whatever else the machine does falls on all of them alike.
	rounds int
	// length is how long lists are measured with one number of pulls.
	length time.Duration
}

// turn returns how long a turn is: a round of lists with one number of pulls has nearly four turns of lists and eight of
// HTTP.
func (p pace) turn() time.Duration { return p.length / time.Duration(12*p.rounds) }

// keptPerTurn bounds the samples that a candidate keeps of one turn. What is faster is counted beyond that.
const keptPerTurn = 100_000

// turn asks again and again until the time is over, or until it can ask no more for now, but at least once. It tells took how
// long each answer took, one at a time. An answer that was asked for in time is waited for.
type turn func(ctx context.Context, until time.Time, took func(time.Duration)) error

// candidate is one way to answer.
type candidate struct {
	name string
	turn turn
	// length is how long a turn is.
	length time.Duration
	// cpu are the meters of all processes that work on an answer.
	cpu []meter
}

// meter returns the CPU time that something has used, and whether it is known.
type meter func(context.Context) (time.Duration, bool)

// result is how fast a candidate answered.
type result struct {
	name    string
	samples []time.Duration // sorted
	answers int
	// busy is how long all turns together were.
	busy time.Duration
	// rates is how many answers came in a second of each turn, tails within how many seconds 99 percent of its answers.
	rates, tails []float64
	// cpu is the CPU time of all answers, negative when it is not known.
	cpu time.Duration
}

// compare gives each candidate its turn in each round.
func (p pace) compare(ctx context.Context, candidates ...*candidate) ([]*result, error) {
	results := make([]*result, len(candidates))
	for i, c := range candidates {
		results[i] = &result{name: c.name}
	}
	for range p.rounds {
		for i, c := range candidates {
			if err := results[i].add(ctx, c); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range results {
		if r.answers == 0 {
			return nil, errors.New(r.name + " gave no answer in time; give it more with -seconds")
		}
		slices.Sort(r.samples)
	}
	return results, nil
}

func (r *result) add(ctx context.Context, c *candidate) error {
	kept, answersBefore, samplesBefore := 0, r.answers, len(r.samples)
	runtime.GC() // nobody pays for what the one before has left behind
	before, known := total(ctx, c.cpu)
	began := time.Now()
	err := within(ctx, c.length+startLimit, c.name, func(ctx context.Context) error {
		return c.turn(ctx, began.Add(c.length), func(d time.Duration) {
			r.answers++
			if kept < keptPerTurn {
				r.samples = append(r.samples, d)
				kept++
			}
		})
	})
	took := time.Since(began)
	r.busy += took
	r.rates = append(r.rates, float64(r.answers-answersBefore)/took.Seconds())
	if ofTurn := slices.Sorted(slices.Values(r.samples[samplesBefore:])); len(ofTurn) > 0 {
		r.tails = append(r.tails, percentile(ofTurn, 99).Seconds())
	}
	// The last meter to be read before is the first one after: reading the others costs it nothing.
	slices.Reverse(c.cpu)
	after, stillKnown := total(ctx, c.cpu)
	slices.Reverse(c.cpu)
	if known && stillKnown && r.cpu >= 0 {
		r.cpu += after - before
	} else {
		r.cpu = -1
	}
	return err
}

func total(ctx context.Context, meters []meter) (sum time.Duration, known bool) {
	for _, m := range meters {
		used, known := m(ctx)
		if !known {
			return 0, false
		}
		sum += used
	}
	return sum, len(meters) > 0
}

// percentile returns the time within which p percent of the answers came.
func (r *result) percentile(p int) time.Duration { return percentile(r.samples, p) }

func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// perSecond returns how many answers came in a second.
func (r *result) perSecond() float64 { return float64(r.answers) / r.busy.Seconds() }

// rateTo returns how many answers came for one of another candidate in the same time.
func (r *result) rateTo(other *result) float64 { return medianRatio(r.rates, other.rates) }

// tailTo returns how the 99th percentile compares with that of another candidate.
func (r *result) tailTo(other *result) float64 { return medianRatio(r.tails, other.tails) }

// medianRatio compares two candidates by the median of the rounds: what else the machine does falls on one of two turns more
// than on the other.
func medianRatio(of, to []float64) float64 {
	ratios := make([]float64, min(len(of), len(to)))
	for i := range ratios {
		ratios[i] = of[i] / to[i]
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// cpuEach returns the CPU time of one answer, and whether it is known.
func (r *result) cpuEach() (time.Duration, bool) {
	const least = 100 * time.Millisecond // the system counts in steps of 10 ms
	return r.cpu / time.Duration(r.answers), r.cpu >= least
}

// oneAfterTheOther is a turn of one caller that asks again as soon as it has an answer.
func oneAfterTheOther(ask func(context.Context) error) turn {
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		for began := time.Now(); ; {
			if err := ask(ctx); err != nil {
				return err
			}
			now := time.Now()
			took(now.Sub(began))
			if !now.Before(until) {
				return nil
			}
			began = now
		}
	}
}
