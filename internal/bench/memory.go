package main

import (
	"context"
	"fmt"
)

// memoryPart measures what connections cost in memory that have one subscription each, and what each further id of one does.
func memoryPart(ctx context.Context, b *bench) (*findings, error) {
	f := &findings{table: &table{head: []string{
		"connections", "server", "heap and stack of each", "heap", "stack", "goroutines", "resident",
	}}}
	costs := map[string][]cost{}
	lines := []line{{name: "12 KB each", goal: true}}
	for _, name := range []string{pullwatch, gqlgen} {
		sizes := b.upTo(1000, 5000, 15_000)
		if name == gqlgen {
			sizes = b.upTo(1000, 5000)
		}
		all, err := b.grow(ctx, name, sizes, 1)
		if err != nil {
			return nil, err
		}
		l := line{name: name}
		for i, c := range all {
			l.points = append(l.points, point{float64(sizes[i]), (c.heap + c.stack) * float64(sizes[i])})
			f.table.add(thousands(sizes[i]), name, kilobytes(c.heap+c.stack),
				kilobytes(c.heap), kilobytes(c.stack), digits(c.goroutines), kilobytes(c.resident))
		}
		costs[name] = all
		lines = append(lines, l)
	}
	for i, n := range b.upTo(1000, 5000, 15_000) {
		lines[0].points = append(lines[0].points, point{float64(n), 12_000 * float64(n)})
		ours, plain, plainGoroutines := costs[pullwatch][i], unknown, unknown
		if i < len(costs[gqlgen]) {
			plain, plainGoroutines = kilobytes(costs[gqlgen][i].heap+costs[gqlgen][i].stack), digits(costs[gqlgen][i].goroutines)
		}
		f.add(fmt.Sprintf("heap and stack of each of %s connections with one subscription", thousands(n)), "at most 12 KB",
			kilobytes(ours.heap+ours.stack), plain, ours.heap+ours.stack <= 12_000)
		f.add("its goroutines", "at most 2", digits(ours.goroutines), plainGoroutines, ours.goroutines < 2.05)
	}
	const few, many = 1, 101
	further := map[string]float64{}
	for _, name := range []string{pullwatch, gqlgen} {
		n := b.upTo(1000)[0]
		withFew, err := b.grow(ctx, name, []int{n}, few)
		if err != nil {
			return nil, err
		}
		withMany, err := b.grow(ctx, name, []int{n}, many)
		if err != nil {
			return nil, err
		}
		further[name] = (withMany[0].heap + withMany[0].stack - withFew[0].heap - withFew[0].stack) / (many - few)
	}
	f.add("each further id of a subscription", "at most 150 bytes",
		digits(further[pullwatch])+" bytes", digits(further[gqlgen])+" bytes", further[pullwatch] <= 150)
	f.chart = &chartFile{"subscription-memory.svg", growthChart(lines)}
	return f, nil
}

// cost is what a connection costs, in bytes.
type cost struct{ heap, stack, resident, goroutines float64 }

// grow opens more and more connections, up to each of sizes, and returns what each connection costs then.
func (b *bench) grow(ctx context.Context, name string, sizes []int, ids int) (costs []cost, err error) {
	const pulls = 1000
	c, err := b.contend(ctx, name, pulls)
	if err != nil {
		return nil, err
	}
	defer c.close()
	// What is made once, for the first one, is no cost of a connection.
	if _, err := c.open(ctx, opening{Connections: 1, IDs: ids}); err != nil {
		return nil, err
	}
	before, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	connections := 0
	for _, n := range sizes {
		if _, err := c.open(ctx, opening{Connections: n - connections, IDs: ids, Apart: 1}); err != nil {
			return nil, err
		}
		connections = n
		now, err := c.usage(ctx)
		if err != nil {
			return nil, err
		}
		each := func(now, before int64) float64 { return float64(now-before) / float64(n) }
		costs = append(costs, cost{
			each(now.Heap, before.Heap), each(now.Stack, before.Stack), each(now.Resident, before.Resident),
			each(int64(now.Goroutines), int64(before.Goroutines)),
		})
	}
	return costs, nil
}
