package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
)

// startLimit bounds how long a process may take to start, and how long a turn may take beyond its length.
const startLimit = time.Minute

// turn measures one candidate until the time is over, and once at least. It calls took with the time of each answer, one call
// at a time.
type turn func(ctx context.Context, until time.Time, took func(time.Duration)) error

// candidate is one of the ways to answer that are compared.
type candidate struct {
	name   string
	turn   turn
	length time.Duration // of a turn
	// open and close, if set, run before and after each turn and are not measured.
	open  func(context.Context) error
	close func()
	// cpu are the meters of the processes that work on an answer.
	cpu []meter
}

// meter returns the CPU seconds that a process has used, NaN if they are not known.
type meter func(context.Context) float64

// result is how fast a candidate answered in all of its turns.
type result struct {
	name  string
	times *hdrhistogram.Histogram // in nanoseconds
	busy  time.Duration
	cpu   float64 // seconds, NaN if not known
	// rates are the answers a second of each turn, tails the 99th percentile of each turn in nanoseconds.
	rates, tails []float64
}

// newTimes returns a histogram that is precise to a thousandth.
func newTimes() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (10 * time.Minute).Nanoseconds(), 3)
}

// compare lets the candidates take turns, so that all of them suffer alike from what else the machine does.
func (b *bench) compare(ctx context.Context, candidates ...*candidate) ([]*result, error) {
	results := make([]*result, len(candidates))
	for i, c := range candidates {
		results[i] = &result{name: c.name, times: newTimes()}
	}
	for range b.Rounds {
		for i, c := range candidates {
			err := within(ctx, c.length+2*startLimit, c.name, func(ctx context.Context) error { return results[i].add(ctx, c) })
			if err != nil {
				return nil, err
			}
		}
	}
	return results, nil
}

// add gives the candidate a turn.
func (r *result) add(ctx context.Context, c *candidate) error {
	if c.close != nil {
		defer c.close()
	}
	if c.open != nil {
		if err := c.open(ctx); err != nil {
			return err
		}
	}
	times := newTimes()
	runtime.GC() // no candidate pays for the garbage of the one before
	before := sum(ctx, c.cpu)
	began := time.Now()
	err := c.turn(ctx, began.Add(c.length), func(d time.Duration) { _ = times.RecordValue(int64(d)) }) // none is longer than the turn
	took := time.Since(began)
	r.cpu += sum(ctx, c.cpu) - before
	r.busy += took
	r.times.Merge(times)
	r.rates = append(r.rates, float64(times.TotalCount())/took.Seconds())
	r.tails = append(r.tails, float64(times.ValueAtPercentile(99)))
	if err == nil && times.TotalCount() == 0 {
		err = fmt.Errorf("no answer came in %s", c.length)
	}
	return err
}

func sum(ctx context.Context, meters []meter) (all float64) {
	for _, m := range meters {
		all += m(ctx)
	}
	return all
}

// percentile returns the time within which p percent of the answers came.
func (r *result) percentile(p float64) time.Duration {
	return time.Duration(r.times.ValueAtPercentile(p))
}

func (r *result) perSecond() float64 { return float64(r.times.TotalCount()) / r.busy.Seconds() }

// cpuEach returns the CPU seconds of an answer, NaN if they are not known or too few: the system counts in steps of 10 ms.
func (r *result) cpuEach() float64 {
	if r.cpu < 0.1 {
		return math.NaN()
	}
	return r.cpu / float64(r.times.TotalCount())
}

// rateTo returns how many answers came for one of another candidate in the same time.
func (r *result) rateTo(other *result) float64 { return medianRatio(r.rates, other.rates) }

// tailTo compares the 99th percentile with that of another candidate.
func (r *result) tailTo(other *result) float64 { return medianRatio(r.tails, other.tails) }

// medianRatio returns the median of the rounds' ratios, which one disturbed round does not change.
func medianRatio(of, to []float64) float64 {
	ratios := make([]float64, len(of))
	for i := range ratios {
		ratios[i] = of[i] / to[i]
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// repeat is a turn of one caller that asks again as soon as it has an answer.
func repeat(ask func(context.Context) error) turn {
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

// together is a turn of n clients at a time.
func together(n int, client func(ctx context.Context, i int, until time.Time, took func(time.Duration)) error) turn {
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		var mu sync.Mutex
		group, ctx := errgroup.WithContext(ctx)
		for i := range n {
			group.Go(func() error {
				return client(ctx, i, until, func(d time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					took(d)
				})
			})
		}
		return group.Wait()
	}
}

// within does work, which must not take longer than limit. Its error says what was done.
func within(ctx context.Context, limit time.Duration, what string, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := work(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// await returns when condition holds. It asks again and again, because other processes bring the condition about.
func await(ctx context.Context, what string, condition func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startLimit, true, func(ctx context.Context) (bool, error) {
		err := condition(ctx)
		if last == nil || ctx.Err() == nil {
			last = err // the error of a request that the deadline cut off says less
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait until %s: %w: %w", what, err, last)
	}
	return nil
}
