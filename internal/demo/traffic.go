package demo

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const (
	// chunk is how many pulls one call starts, at most.
	chunk = 100
	// settle is how long to wait until started pulls show in the cluster. One that joined a running pull never does.
	settle = 2 * time.Second
	// queued is how long old pulls waited before they started.
	queued = 3 * time.Second
	// readiness is how long pullwatch may take to start an old pull. It may have to take the Lease first.
	readiness = 20 * time.Second
)

// runTraffic plays the other users of pullwatch.
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

// makePast starts pulls one by one and plays each to its end within a moment, as though it had started long ago.
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

// behind returns how far a pull's clock is behind the present. It is 0 unless makePast started the pull.
func behind(image string, created time.Time) time.Duration {
	age := time.Since(created)
	for _, old := range history {
		if old.image == image && age > old.age-time.Minute {
			return age - queued
		}
	}
	return 0
}

// imageAt returns the image to pull as number i. If more pulls are active than the catalogue has images for, each gets a tag
// of its own.
func (c *Cluster) imageAt(i int) string {
	image := catalogue[i%len(catalogue)]
	if c.options.ActivePulls <= len(catalogue)/2 || strings.Contains(image, "@") {
		return image
	}
	return fmt.Sprintf("%s-build.%d", image, i)
}
