package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// updates is a turn in which one update follows another as soon as all readers have it. It takes the time of each reader if each
// says so, otherwise that of the last one.
func (c *contender) updates(p Publication, each bool) turn {
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		return repeat(func(ctx context.Context) error {
			err := c.round(ctx, func() error { return c.publish(ctx, p) })
			for _, d := range c.took {
				if each {
					took(d)
				}
			}
			return err
		})(ctx, until, func(d time.Duration) {
			if !each {
				took(d)
			}
		})
	}
}

// fanOut measures one update at a time that goes to many.
func (b *bench) fanOut(ctx context.Context, f *findings) error {
	row := f.table("subscribers", "server", "messages a second", "CPU µs a message", "until the last one has it: p50", "p99")
	compare := func(n int, length time.Duration, contenders ...*contender) ([]*result, error) {
		var candidates []*candidate
		for _, c := range contenders {
			turn := c.candidate(length, c.updates(Publication{}, false))
			turn.open = func(ctx context.Context) error { return c.open(ctx, opening{connections: n, ids: 1}) }
			turn.close = c.close
			candidates = append(candidates, turn)
		}
		results, err := b.compare(ctx, candidates...)
		for _, r := range results {
			row(thousands(n), r.name, digits(r.perSecond()*float64(n)), digits(1e6*r.cpuEach()/float64(n)),
				round(r.percentile(50)), round(r.percentile(99)))
		}
		return results, err
	}
	ours, err := b.contend(pullwatch, 100)
	if err != nil {
		return err
	}
	if err := ours.open(ctx, opening{connections: 1, ids: 1}); err != nil { // for the bytes of an update
		return err
	}
	ours.close()
	contenders := []*contender{ours}
	// The clients share the processors, so more writers are not always faster.
	for _, writers := range slices.Compact([]int{1, runtime.GOMAXPROCS(0)}) {
		c, err := b.contendWith(fmt.Sprintf("prepared messages, writers: %d", writers), preparedMsgs, ours.update, writers)
		if err != nil {
			return err
		}
		contenders = append(contenders, c)
	}
	plain, err := b.contend(gqlgen, 100)
	if err != nil {
		return err
	}
	many, most := b.upTo(3000)[0], b.upTo(10_000)[0]
	results, err := compare(many, 3*b.turn(), append(contenders, plain)...)
	if err != nil {
		return err
	}
	fastest := 1
	for i := range contenders[1:] {
		if results[1+i].perSecond() > results[fastest].perSecond() {
			fastest = 1 + i
		}
	}
	floor, last := results[fastest], results[len(results)-1]
	rate, cpu := results[0].rateTo(floor), results[0].cpuEach()/floor.cpuEach()
	f.goal(fmt.Sprintf("an update to %s subscribers: messages a second, of gorilla's with prepared messages", thousands(many)),
		"at least 85%", percent(rate), percent(last.rateTo(floor)), rate >= .85)
	f.goal("its CPU, to that of prepared messages", "at most 1.3", hundredths(cpu), hundredths(last.cpuEach()/floor.cpuEach()), cpu <= 1.3)

	results, err = compare(most, 6*b.turn(), ours, contenders[fastest])
	if err != nil {
		return err
	}
	f.goal(fmt.Sprintf("p99 until the last of %s subscribers has an update; %s with prepared messages",
		thousands(most), round(results[1].percentile(99))), known, round(results[0].percentile(99)), unknown, true)
	return nil
}

// compareBoth compares pullwatch with plain gqlgen, both with some pulls.
func (b *bench) compareBoth(ctx context.Context, pulls int, with func(*contender) (*candidate, error)) ([]*result, error) {
	var candidates []*candidate
	for _, kind := range []string{pullwatch, gqlgen} {
		c, err := b.contend(kind, pulls)
		if err != nil {
			return nil, err
		}
		candidate, err := with(c)
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, candidate)
	}
	return b.compare(ctx, candidates...)
}

// dashboards measures what a few dashboards cost that all follow the same pulls.
func (b *bench) dashboards(ctx context.Context, f *findings) error {
	const dashboards, ids, perSecond = 20, 10, 50
	results, err := b.compareBoth(ctx, 100, func(c *contender) (*candidate, error) {
		return c.candidate(5*b.turn(), func(ctx context.Context, until time.Time, took func(time.Duration)) error {
			began := time.Now()
			defer func() { took(time.Since(began)) }()
			updates := int(time.Until(until).Seconds() * perSecond)
			return c.publish(ctx, Publication{Pulls: ids, Updates: updates, Every: time.Second / perSecond})
		}), c.open(ctx, opening{connections: dashboards, ids: ids})
	})
	if err != nil {
		return err
	}
	load := func(r *result) float64 { return r.cpu / r.busy.Seconds() }
	f.goal(fmt.Sprintf("%d dashboards that follow the same %d pulls, %d updates a second: of one core", dashboards, ids, perSecond),
		"below 5%", percent(load(results[0])), percent(load(results[1])), load(results[0]) < .05)
	return nil
}

// storm measures many clients that connect at once: how long until each has what it subscribed to.
func (b *bench) storm(ctx context.Context, f *findings) error {
	n := b.upTo(1000)[0]
	results, err := b.compareBoth(ctx, 1000, func(c *contender) (*candidate, error) {
		turn := c.candidate(0, repeat(func(ctx context.Context) error {
			return c.open(ctx, opening{connections: n, ids: 1, apart: 1, atOnce: n})
		}))
		turn.close = c.close
		return turn, nil
	})
	if err != nil {
		return err
	}
	f.goal(fmt.Sprintf("%s clients that connect at once: until each has its first update", thousands(n)), known,
		round(results[0].percentile(50)), round(results[1].percentile(50)), true)
	return nil
}

// stalled measures whether clients that never read delay the others, and what they cost.
func (b *bench) stalled(ctx context.Context, f *findings) error {
	n := b.upTo(1000)[0]
	readers, never := n*9/10, n/10
	// Updates are so long, and so many come before anything is measured, that neither side's system takes more for a client
	// that does not read.
	update, first := Publication{Message: 4 << 10}, 64
	var candidates []*candidate
	var growth []*float64 // the most of each candidate
	for _, kind := range []string{pullwatch, gqlgen} {
		for _, stalled := range []int{0, never} {
			c, err := b.contend(kind, 100)
			if err != nil {
				return err
			}
			if err := c.open(ctx, opening{connections: readers, ids: 1}); err != nil {
				return err
			}
			before, err := c.usage(ctx)
			if err != nil {
				return err
			}
			most := new(float64)
			growth = append(growth, most)
			turn := c.candidate(5*b.turn(), c.updates(update, true))
			turn.open = func(ctx context.Context) error {
				if stalled == 0 {
					return nil
				}
				err := c.open(ctx, opening{connections: stalled, ids: 1, stalled: true})
				for i := 0; i < first && err == nil; i++ {
					err = c.round(ctx, func() error { return c.publish(ctx, update) })
				}
				return err
			}
			turn.close = func() {
				if now, err := c.usage(ctx); err == nil {
					*most = max(*most, now.Heap+now.Stack-before.Heap-before.Stack)
				}
			}
			candidates = append(candidates, turn)
		}
	}
	results, err := b.compare(ctx, candidates...)
	if err != nil {
		return err
	}
	row := f.table("clients that never read", "server", "others: p50", "p99", "more memory, at most")
	for i, r := range results {
		row(thousands(i%2*never), r.name, round(r.percentile(50)), round(r.percentile(99)), size(*growth[i]))
	}
	slower := func(i int) float64 { return results[i+1].tailTo(results[i]) }
	each := func(i int) float64 { return (*growth[i+1] - *growth[i]) / float64(never) }
	f.goal(fmt.Sprintf("p99 of %s clients when %s others never read, to that without those", thousands(readers), thousands(never)),
		"as it was (at most 1.25)", hundredths(slower(0)), hundredths(slower(2)), slower(0) <= 1.25)
	f.goal("memory for each that never reads", "bounded (at most 100 kB)", size(each(0)), size(each(2)), each(0) <= 100_000)
	return nil
}
