package demo

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	// chunk is how many pulls are started in one call.
	chunk = 100
	// settle is how long started pulls may take to show in the cluster; those that joined a running pull never do.
	settle = 2 * time.Second
	// queued is how long old pulls waited before they started.
	queued = 3 * time.Second
	// readiness is how long pullwatch may take to let an old pull start; it may have to be elected first.
	readiness = 20 * time.Second
)

// runTraffic plays pullwatch's other users.
func (c *Cluster) runTraffic(ctx context.Context, start func(context.Context, []string) error) {
	c.makePast(ctx, start)
	enough := func(n count) bool { return n.active < c.options.ActivePulls }
	for next := 0; ctx.Err() == nil; {
		now, err := c.census.until(ctx, enough)
		if err != nil {
			return
		}
		var images []string
		for range min(c.options.ActivePulls-now.active, chunk) {
			images = append(images, c.imageAt(next))
			next++
		}
		if err := start(ctx, images); err != nil {
			c.complain(fmt.Errorf("start pulls: %w", err))
		}
		settled, cancel := context.WithTimeout(ctx, settle)
		_, _ = c.census.until(settled, func(n count) bool { return n.added >= now.added+len(images) })
		cancel()
	}
}

// makePast starts pulls one by one and lets each run to its end within a moment, as though it had been started long
// ago.
func (c *Cluster) makePast(ctx context.Context, start func(context.Context, []string) error) {
	defer c.api.Backdate(0)
	for _, old := range history {
		before, _ := c.census.until(ctx, func(count) bool { return true })
		c.api.Backdate(old.age)
		if err := start(ctx, []string{old.image}); err != nil {
			c.complain(fmt.Errorf("start pull: %w", err))
			continue
		}
		ended, cancel := context.WithTimeout(ctx, readiness)
		_, err := c.census.until(ended, func(n count) bool { return n.finished > before.finished })
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.options.Logger.Warn("demo cluster: an old pull does not run", "image", old.image)
		}
	}
}

// behind returns how far the clock of a pull is behind that was made by makePast.
func behind(image string, created time.Time) time.Duration {
	age := time.Since(created)
	for _, old := range history {
		if old.image == image && age > old.age-time.Minute {
			return age - queued
		}
	}
	return 0
}

// imageAt returns the image that is pulled as number i. Where so many are pulled at once that the catalogue would
// repeat itself, each is a build of its own.
func (c *Cluster) imageAt(i int) string {
	image := catalogue[i%len(catalogue)]
	if c.options.ActivePulls <= len(catalogue)/2 || strings.Contains(image, "@") {
		return image
	}
	return fmt.Sprintf("%s-build.%d", image, i)
}
