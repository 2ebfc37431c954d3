package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// fanOutPart measures one update at a time that goes to many.
func fanOutPart(ctx context.Context, b *bench) (*findings, error) {
	f := &findings{table: &table{head: []string{
		"subscribers", "server", "messages a second", "CPU µs a message", "until the last one has it: p50", "p99",
	}}}
	compare := func(subscribers int, length time.Duration, writers []int, plain bool) ([]*result, error) {
		results, err := b.compareUpdates(ctx, subscribers, length, writers, plain)
		for _, r := range results {
			f.table.add(thousands(subscribers), r.name, digits(r.perSecond()*float64(subscribers)), cpuOfEach(r, subscribers),
				round(r.percentile(50)), round(r.percentile(99)))
		}
		return results, err
	}
	// The processors are the clients', too, so more writers are not always faster.
	writers := slices.Compact([]int{1, runtime.GOMAXPROCS(0)})
	many, most := b.upTo(3000)[0], b.upTo(10_000)[0]
	results, err := compare(many, 3*b.turn(), writers, true)
	if err != nil {
		return nil, err
	}
	ours, floors, plain := results[0], results[1:1+len(writers)], results[1+len(writers)]
	fastest := 0
	for i, r := range floors {
		if r.perSecond() > floors[fastest].perSecond() {
			fastest = i
		}
	}
	rate := func(r *result) float64 { return r.rateTo(floors[fastest]) }
	cpu := func(r *result) float64 { return perAnswer(r) / perAnswer(floors[fastest]) }
	f.add(fmt.Sprintf("an update to %s subscribers: messages a second, of gorilla's with prepared messages", thousands(many)),
		"at least 85%", percent(rate(ours)), percent(rate(plain)), rate(ours) >= .85)
	f.add("its CPU, to that of prepared messages",
		"at most 1.3", ratioOf(cpu(ours)), ratioOf(cpu(plain)), cpu(ours) <= 1.3)

	last, err := compare(most, 6*b.turn(), writers[fastest:fastest+1], false)
	if err != nil {
		return nil, err
	}
	f.add(fmt.Sprintf("p99 until the last of %s subscribers has an update; %s with prepared messages",
		thousands(most), round(last[1].percentile(99))),
		known, round(last[0].percentile(99)), unknown, true)
	return f, nil
}

// compareUpdates has a number of subscribers of each server read one update after the other. The results are those of
// pullwatch, of prepared messages with each number of writers, and of gqlgen if it is wanted.
func (b *bench) compareUpdates(
	ctx context.Context, subscribers int, length time.Duration, writers []int, plain bool,
) ([]*result, error) {
	var candidates []*candidate
	var update string
	join := func(c *contender, err error) (*contender, error) {
		if err != nil {
			return nil, err
		}
		opened, err := c.open(ctx, opening{Connections: subscribers, IDs: 1})
		if err != nil {
			c.close()
			return nil, err
		}
		update = opened.Update
		candidates = append(candidates, &candidate{
			name: c.name, length: length, cpu: []meter{c.server.cpu}, turn: c.updates(updating{}),
		})
		return c, nil
	}
	c, err := join(b.contend(ctx, pullwatch, 100))
	if err != nil {
		return nil, err
	}
	defer c.close()
	for _, n := range writers {
		c, err := join(b.contendPrepared(ctx, update, n))
		if err != nil {
			return nil, err
		}
		defer c.close()
	}
	if plain {
		c, err := join(b.contend(ctx, gqlgen, 100))
		if err != nil {
			return nil, err
		}
		defer c.close()
	}
	return b.compare(ctx, candidates...)
}

// perAnswer returns the CPU seconds of an answer.
func perAnswer(r *result) float64 { return r.cpu.Seconds() / float64(r.answers) }
