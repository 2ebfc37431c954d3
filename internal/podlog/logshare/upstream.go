package logshare

// attach adds a reader.
func (u *upstream) attach(r *reader) { u.readers[r] = struct{}{} }

// moved notes that a reader is at offset now.
func (u *upstream) moved(offset int64) {
	u.fastest = max(u.fastest, offset)
	u.demand.Signal()
}

// detach removes a reader. unused means that the caller must close u.
func (u *upstream) detach(r *reader) (unused bool) {
	delete(u.readers, r)
	u.demand.Signal()
	if u.used() {
		return false
	}
	u.run.remove(u)
	return true
}

// used reports whether u has readers, or is cached.
func (u *upstream) used() bool { return len(u.readers) > 0 || u.run.cached == u }

// close ends the pump and gives back the memory. run.mu is not held.
func (u *upstream) close() {
	u.cancel()
	<-u.done
	u.run.mu.Lock()
	u.discard()
	u.run.mu.Unlock()
	u.run.source.memory.release(u.granted)
	u.run.source.leave(u.run)
}
