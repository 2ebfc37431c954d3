package logshare

import "time"

// keepEnded is how long an upstream is kept after its end. Those who followed a run learn within about that time of
// each other that it has ended.
const keepEnded = 2 * time.Second

// keep takes in u, which has come to its end, for requests that come a little later. A run keeps one upstream: the last
// one or, when the one before ended with the same line, the one of the two that holds more. It serves nobody until it
// is confirmed: a cluster may end a log in the middle as though that were its end, and whoever reads it again to find
// out must not get the same. keep returns an upstream that nobody uses any more; the caller, who holds mu, closes it
// when it has let go of that.
func (r *run) keep(u *upstream) (unused *upstream) {
	if _, ok := u.lastTimed(); !ok || !u.used() || !r.source.memory.spare() {
		return nil
	}
	kept := u
	if old := r.kept; old != nil && sameEnd(&old.ring, &u.ring) {
		if old.head-old.start >= u.head-u.start {
			kept = old
		}
		kept.confirmed = old.confirmed || !u.asked.Before(old.ended)
	}
	unused = r.replaceKept(kept)
	r.expiry = time.AfterFunc(keepEnded, func() { r.expire(kept) })
	return unused
}

// replaceKept returns the upstream that was kept, if nobody uses it any more.
func (r *run) replaceKept(u *upstream) (unused *upstream) {
	old := r.kept
	if old != nil {
		r.expiry.Stop()
	}
	r.kept = u
	if old == nil || old.used() {
		return nil
	}
	return old
}

// expire ends the keeping of u. Whoever reads it goes on.
func (r *run) expire(u *upstream) {
	r.mu.Lock()
	if r.kept != u {
		r.mu.Unlock()
		return
	}
	unused := r.replaceKept(nil)
	r.mu.Unlock()
	if unused != nil {
		unused.close()
	}
}
