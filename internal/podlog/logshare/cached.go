package logshare

import "time"

// cacheLife is how long an upstream is cached after its end. All readers that have followed a run learn of its end within
// about that time.
const cacheLife = 2 * time.Second

// cache keeps u, which has come to its end, for later requests. A run caches one upstream: the last one. If the cached one
// has ended with the same line, that is the one with more bytes or, of two with as many, the one whose request left out fewer
// lines. It serves nobody until it is confirmed: a cluster may end a response in the middle of a log as though that were its
// end, and a reader that asks again to find out must not get the same response. cache returns an upstream that is not used
// any more. The caller holds mu, and closes that upstream after unlocking mu.
func (r *run) cache(u *upstream) (unused *upstream) {
	if _, ok := u.lastTimed(); !ok || !u.used() || !r.source.memory.spare() {
		return nil
	}
	cached := u
	if old := r.cached; old != nil && sameEnd(&old.ring, &u.ring) {
		if more := old.head - old.start - (u.head - u.start); more > 0 || more == 0 && old.before <= u.before {
			cached = old
		}
		cached.confirmed = old.confirmed || !u.asked.Before(old.ended)
	}
	unused = r.replaceCached(cached)
	r.expiry = time.AfterFunc(cacheLife, func() { r.expire(cached) })
	return unused
}

// replaceCached caches u, or nothing if u is nil. It returns the upstream that was cached, if it is not used any more.
func (r *run) replaceCached(u *upstream) (unused *upstream) {
	old := r.cached
	if old != nil {
		r.expiry.Stop()
	}
	r.cached = u
	if old == nil || old.used() {
		return nil
	}
	return old
}

// expire takes u out of the cache. Its readers go on.
func (r *run) expire(u *upstream) {
	r.mu.Lock()
	if r.cached != u {
		r.mu.Unlock()
		return
	}
	unused := r.replaceCached(nil)
	r.mu.Unlock()
	if unused != nil {
		unused.close()
	}
}
