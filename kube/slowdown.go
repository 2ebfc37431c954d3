package kube

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// A registry that is away fails one pull after the other. When slowAfter pulls in a row have failed for the same cause that is not
// theirs (pullstate.Cause), the leader starts one at a time of those that would meet it. The first pause after a failure is
// shortestSlow, and each one after it twice as long, up to longestSlow. The first success ends that, and so does an hour
// (slowMemory) without a failure. All of it follows from the Jobs that have ended, so another leader goes on as this one would.
const (
	slowAfter    = 3
	shortestSlow = 30 * time.Second
	longestSlow  = 10 * time.Minute
	slowMemory   = time.Hour
)

// slowdown says how pulls of a scope are slowed down.
type slowdown struct {
	cause pullstate.Cause
	// first is what was said of the first failure in a row, and message what queued pulls of the scope say.
	first, message string
	// next is when another pull may start, if none runs. until is when the failures no longer count.
	next, until time.Time
}

// slowMessage returns what queued pulls of a scope say. first is what was said of the first failure in a row.
func slowMessage(cause pullstate.Cause, first string) string {
	who := "Pulls"
	switch cause.Side {
	case pull.SourceSide:
		who += " from " + cause.Registry
	case pull.DestinationSide:
		who += " to " + cause.Registry
	}
	return fmt.Sprintf("%s are slowed down: the last ones failed for a reason that is not theirs (%s). One is started at a time, after longer and "+
		"longer pauses, until one succeeds; resumeQueue ends that at once. The first failure: %s", who, cause.Reason, first)
}

// slowdowns returns how pulls are slowed down, that of all pulls first. Failures up to the time since do not count.
func (t *Tracker) slowdowns(since time.Time) []slowdown {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failed) < slowAfter {
		return nil
	}
	rows := map[pullstate.Cause][]*tracked{}
	for _, tr := range t.failed {
		if tr.cause != nil && tr.state.FinishedAt.After(since) {
			rows[*tr.cause] = append(rows[*tr.cause], tr)
		}
	}
	var all []slowdown
	for cause, row := range rows {
		if len(row) < slowAfter {
			continue
		}
		success := t.lastSuccessLocked(cause.Scope)
		row = slices.DeleteFunc(row, func(tr *tracked) bool { return !tr.state.FinishedAt.After(success) })
		if s := slowdownAfter(cause, row); s.until.After(t.now()) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b slowdown) int {
		return cmp.Or(cmp.Compare(a.cause.Side, b.cause.Side), cmp.Compare(a.cause.Registry, b.cause.Registry), cmp.Compare(a.cause.Reason, b.cause.Reason))
	})
	return all
}

// lastSuccessLocked returns when a pull of a scope succeeded last; the zero time if none is known to have.
func (t *Tracker) lastSuccessLocked(scope pullstate.Scope) (at time.Time) {
	for _, tr := range t.succeeded {
		if scope.Has(tr.identity) && tr.state.FinishedAt.After(at) {
			at = tr.state.FinishedAt
		}
	}
	return at
}

// slowdownAfter returns what follows from the failures of a row, the zero slowdown if there are too few.
func slowdownAfter(cause pullstate.Cause, row []*tracked) slowdown {
	if len(row) < slowAfter {
		return slowdown{}
	}
	slices.SortFunc(row, func(a, b *tracked) int {
		return cmp.Or(a.state.FinishedAt.Compare(b.state.FinishedAt), cmp.Compare(a.name, b.name))
	})
	const longest = 500
	reached, last := row[slowAfter-1].state.FinishedAt, row[len(row)-1].state.FinishedAt
	tried := 0 // since pulls are slowed down
	for _, tr := range row[slowAfter:] {
		if !tr.state.StartedAt.Before(reached) {
			tried++
		}
	}
	first := pull.Truncate(row[0].state.Failure.Message, longest)
	return slowdown{
		cause: cause, first: first, message: slowMessage(cause, first),
		next: last.Add(min(longestSlow, shortestSlow<<min(tried, 8))), until: last.Add(slowMemory),
	}
}

// undecided reports whether a pull of a scope has left the queue and is not known to have ended. It may hold no slot any more:
// Kubernetes says that a copier has ended before it says how its Job did.
func (t *Tracker) undecided(scope pullstate.Scope) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tr := range t.active {
		if tr.state.Phase != pull.Queued && scope.Has(tr.identity) {
			return true
		}
	}
	return false
}

// observeSlowdowns finds out how pulls are slowed down, for this round of the leader's work, and logs what has changed.
func (t *term) observeSlowdowns() {
	before := t.slow
	t.slow = t.tracker.slowdowns(t.queue().Resumed)
	t.role.slowed.Store(int32(min(len(t.slow), 1<<30)))
	same := func(a slowdown) func(slowdown) bool { return func(b slowdown) bool { return a.cause == b.cause } }
	for _, s := range t.slow {
		t.pace.wakeAt(s.until)
		if !slices.ContainsFunc(before, same(s)) {
			t.logger.Warn("pulls are slowed down: several in a row failed for a reason that is not theirs",
				"reason", s.cause.Reason, "side", s.cause.Side, "registry", s.cause.Registry, "error", s.first)
		}
	}
	for _, s := range before {
		if !slices.ContainsFunc(t.slow, same(s)) {
			t.logger.Info("pulls are no longer slowed down", "reason", s.cause.Reason, "side", s.cause.Side, "registry", s.cause.Registry)
		}
	}
}

// limit returns how many pulls may run at a time.
func (t *term) limit() int {
	if len(t.slow) > 0 && t.slow[0].cause.Scope == (pullstate.Scope{}) {
		return 1
	}
	return t.maxParallel
}

// slowed reports whether a queued pull has to wait because pulls of its scope are slowed down.
func (t *term) slowed(id pullstate.Identity) bool {
	now := t.tracker.now()
	for _, s := range t.slow {
		switch {
		case !s.cause.Has(id):
		case s.next.After(now):
			t.pace.wakeAt(s.next)
			return true
		case t.tracker.undecided(s.cause.Scope):
			return true
		}
	}
	return false
}

// notice returns what a queued pull is to say of the queue, empty for nothing.
func (t *term) notice(id pullstate.Identity) string {
	if state := t.queue(); state.Paused != nil {
		return state.message()
	}
	for _, s := range t.slow {
		if s.cause.Has(id) {
			return s.message
		}
	}
	return ""
}
