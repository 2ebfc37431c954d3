package main

import (
	"context"
	"fmt"
	"time"
)

// dashboardsPart measures what a few dashboards cost that each follow some pulls.
func dashboardsPart(ctx context.Context, b *bench) (*findings, error) {
	const dashboards, ids, perSecond = 20, 10, 50
	var candidates []*candidate
	for _, name := range []string{pullwatch, gqlgen} {
		c, err := b.contend(ctx, name, 100)
		if err != nil {
			return nil, err
		}
		defer c.close()
		if _, err := c.open(ctx, opening{Connections: dashboards, IDs: ids}); err != nil {
			return nil, err
		}
		candidates = append(candidates, &candidate{
			name: name, length: 5 * b.turn(), cpu: []meter{c.server.cpu},
			turn: func(ctx context.Context, until time.Time, took func(time.Duration)) error {
				began := time.Now()
				updates := int(time.Until(until).Seconds() * perSecond)
				err := c.publish(ctx, publication{Pulls: ids, Updates: updates, Every: time.Second / perSecond})
				took(time.Since(began))
				return err
			},
		})
	}
	results, err := b.compare(ctx, candidates...)
	if err != nil {
		return nil, err
	}
	f := &findings{}
	load := func(r *result) float64 { return r.cpu.Seconds() / r.busy.Seconds() }
	f.add(fmt.Sprintf("%d dashboards that follow the same %d pulls, %d updates a second: of one core",
		dashboards, ids, perSecond),
		"below 5%", fine(load(results[0])), fine(load(results[1])), load(results[0]) < .05)
	return f, nil
}

// stormPart measures how long many clients take that connect at once until each has what it subscribed to.
func stormPart(ctx context.Context, b *bench) (*findings, error) {
	n := b.upTo(1000)[0]
	var candidates []*candidate
	for _, name := range []string{pullwatch, gqlgen} {
		c, err := b.contend(ctx, name, 1000)
		if err != nil {
			return nil, err
		}
		defer c.close()
		candidates = append(candidates, &candidate{
			name: name, cpu: []meter{c.server.cpu},
			turn: func(ctx context.Context, _ time.Time, took func(time.Duration)) error {
				opened, err := c.open(ctx, opening{Connections: n, IDs: 1, Apart: 1, AtOnce: n})
				if err != nil {
					return err
				}
				took(opened.Took)
				return c.closeAll(ctx)
			},
		})
	}
	results, err := b.compare(ctx, candidates...)
	if err != nil {
		return nil, err
	}
	f := &findings{}
	f.add(fmt.Sprintf("%s clients that connect at once: until each has its first update", thousands(n)), known,
		round(results[0].percentile(50)), round(results[1].percentile(50)), true)
	return f, nil
}
