package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// startQueued starts the oldest queued pulls while fewer than maxParallel run.
func (t *term) startQueued(ctx context.Context) error {
	var errs []error
	for _, name := range t.tracker.startable(t.maxParallel) {
		if err := t.patch(ctx, name, []byte(`{"spec":{"suspend":false}}`)); err != nil {
			errs = append(errs, fmt.Errorf("start queued pull %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// startable returns the queued pulls that may start now, oldest first.
func (t *Tracker) startable(maxParallel int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	free := maxParallel - (len(t.active) - len(t.queued))
	if free <= 0 || len(t.queued) == 0 {
		return nil
	}
	queued := make([]*tracked, 0, len(t.queued))
	for _, tr := range t.queued {
		queued = append(queued, tr)
	}
	slices.SortFunc(queued, func(a, b *tracked) int {
		return cmp.Or(a.identity.Created.Compare(b.identity.Created), cmp.Compare(a.job.Name, b.job.Name))
	})
	var names []string
	for _, tr := range queued[:min(free, len(queued))] {
		names = append(names, tr.job.Name)
	}
	return names
}
