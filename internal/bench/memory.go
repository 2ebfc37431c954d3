package main

import (
	"context"
	"fmt"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// memory measures what connections with one subscription each cost in memory, and what each further id of a subscription does.
func (b *bench) memory(ctx context.Context, f *findings) error {
	row := f.table("connections", "server", "heap and stack of each", "heap", "stack", "goroutines", "resident")
	const wanted = 12_000 // bytes a connection
	sizes := b.upTo(1000, 5000, 15_000)
	goal := line{name: "12 kB each", goal: true, XYs: plotter.XYs{{}}}
	lines := []line{}
	costs := map[string][]Usage{}
	for _, name := range []string{pullwatch, gqlgen} {
		sizes := sizes
		if name == gqlgen {
			sizes = b.upTo(1000, 5000)
		}
		all, err := b.grow(ctx, name, 1, sizes...)
		if err != nil {
			return err
		}
		costs[name] = all
		l := line{name: name, XYs: plotter.XYs{{}}}
		for i, c := range all {
			l.XYs = append(l.XYs, plotter.XY{X: float64(sizes[i]), Y: (c.Heap + c.Stack) * float64(sizes[i])})
			row(thousands(sizes[i]), name, size(c.Heap+c.Stack), size(c.Heap), size(c.Stack), digits(c.Goroutines), size(c.Resident))
		}
		lines = append(lines, l)
	}
	for i, n := range sizes {
		goal.XYs = append(goal.XYs, plotter.XY{X: float64(n), Y: wanted * float64(n)})
		ours, plain, plainGoroutines := costs[pullwatch][i], unknown, unknown
		if i < len(costs[gqlgen]) {
			c := costs[gqlgen][i]
			plain, plainGoroutines = size(c.Heap+c.Stack), digits(c.Goroutines)
		}
		f.goal(fmt.Sprintf("heap and stack of each of %s connections with one subscription", thousands(n)), "at most 12 kB",
			size(ours.Heap+ours.Stack), plain, ours.Heap+ours.Stack <= wanted)
		f.goal("its goroutines", "at most 2", digits(ours.Goroutines), plainGoroutines, ours.Goroutines < 2.05)
	}
	chart, err := newChart("Memory of connections with one subscription each", append(lines, goal)...)
	if err != nil {
		return err
	}
	chart.X.Label.Text, chart.Y.Label.Text = "connections", "heap and stacks of the server"
	chart.X.Tick.Marker = ticks{plot.DefaultTicks{}, func(n float64) string { return thousands(int(n)) }}
	chart.Y.Tick.Marker = ticks{plot.DefaultTicks{}, func(bytes float64) string { return fmt.Sprintf("%.0f MB", bytes/1e6) }}
	f.charts["subscription-memory.svg"] = chart
	return b.furtherIDs(ctx, f)
}

func (b *bench) furtherIDs(ctx context.Context, f *findings) error {
	const few, many = 1, 101
	var further []float64
	for _, name := range []string{pullwatch, gqlgen} {
		var each [2]float64
		for i, ids := range []int{few, many} {
			all, err := b.grow(ctx, name, ids, b.upTo(1000)...)
			if err != nil {
				return err
			}
			each[i] = all[0].Heap + all[0].Stack
		}
		further = append(further, (each[1]-each[0])/(many-few))
	}
	f.goal("each further id of a subscription", "at most 150 bytes", digits(further[0])+" bytes", digits(further[1])+" bytes", further[0] <= 150)
	return nil
}

// grow opens more and more connections, up to each of sizes, and returns what each connection costs then.
func (b *bench) grow(ctx context.Context, name string, ids int, sizes ...int) (costs []Usage, err error) {
	c, err := b.contend(name, 1000)
	if err != nil {
		return nil, err
	}
	defer c.close()
	// What the first connection makes for all of them is no cost of a connection.
	if err := c.open(ctx, opening{connections: 1, ids: ids}); err != nil {
		return nil, err
	}
	before, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	connections := 0
	for _, n := range sizes {
		if err := c.open(ctx, opening{connections: n - connections, ids: ids, apart: 1}); err != nil {
			return nil, err
		}
		connections = n
		now, err := c.usage(ctx)
		if err != nil {
			return nil, err
		}
		each := func(now, before float64) float64 { return (now - before) / float64(n) }
		costs = append(costs, Usage{
			each(now.Heap, before.Heap), each(now.Stack, before.Stack), each(now.Resident, before.Resident), each(now.Goroutines, before.Goroutines),
		})
	}
	return costs, nil
}
