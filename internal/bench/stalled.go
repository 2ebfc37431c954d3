package main

import (
	"context"
	"fmt"
	"time"
)

// Stalled clients get updates that are long enough, and before anything is measured so many of them, that the system keeps
// no more for them and it is the server that has to.
const (
	stalledMessage = 4 << 10
	stalledUpdates = 64
)

// stalledPart measures whether clients that never read delay the others, and what they cost.
func stalledPart(ctx context.Context, b *bench) (*findings, error) {
	readers, never := b.upTo(1000)[0]*9/10, b.upTo(1000)[0]/10
	var candidates []*candidate
	var growth []*float64 // of each candidate, the most
	for _, name := range []string{pullwatch, gqlgen} {
		for _, stalled := range []int{0, never} {
			c, err := b.contend(ctx, name, 100)
			if err != nil {
				return nil, err
			}
			defer c.close()
			if _, err := c.open(ctx, opening{Connections: readers, IDs: 1}); err != nil {
				return nil, err
			}
			before, err := c.usage(ctx)
			if err != nil {
				return nil, err
			}
			most := new(float64)
			growth = append(growth, most)
			candidates = append(candidates, &candidate{
				name: name, length: 5 * b.turn(), cpu: []meter{c.server.cpu},
				turn: func(ctx context.Context, until time.Time, took func(time.Duration)) error {
					if err := c.updatesBeside(ctx, stalled, time.Until(until), took); err != nil {
						return err
					}
					now, err := c.usage(ctx)
					*most = max(*most, float64(now.Heap+now.Stack-before.Heap-before.Stack))
					return err
				},
			})
		}
	}
	results, err := b.compare(ctx, candidates...)
	if err != nil {
		return nil, err
	}
	f := &findings{table: &table{head: []string{
		"clients that never read", "server", "others: p50", "p99", "more memory, at most",
	}}}
	for i, r := range results {
		f.table.add(thousands(i%2*never), r.name, round(r.percentile(50)), round(r.percentile(99)), kilobytes(*growth[i]))
	}
	slower := func(i int) float64 { return results[i+1].tailTo(results[i]) }
	each := func(i int) float64 { return (*growth[i+1] - *growth[i]) / float64(never) }
	f.add(fmt.Sprintf("p99 of %s clients when %s others never read, to that without those", thousands(readers), thousands(never)),
		"as it was (at most 1.25)", ratioOf(slower(0)), ratioOf(slower(2)), slower(0) <= 1.25)
	f.add("memory for each that never reads",
		"bounded (at most 100 KB)", kilobytes(each(0)), kilobytes(each(2)), each(0) <= 100_000)
	return f, nil
}

// updatesBeside takes how long each reader's update takes, beside clients that do not read.
func (c *contender) updatesBeside(ctx context.Context, stalled int, length time.Duration, took func(time.Duration)) error {
	publication := publication{Message: stalledMessage}
	if stalled > 0 {
		if _, err := c.open(ctx, opening{Connections: stalled, IDs: 1, Stalled: true}); err != nil {
			return err
		}
		fill := c.updates(updating{AtLeast: stalledUpdates, Publication: publication})
		if err := fill(ctx, time.Now(), func(time.Duration) {}); err != nil {
			return err
		}
	}
	return c.updates(updating{Each: true, Publication: publication})(ctx, time.Now().Add(length), took)
}
