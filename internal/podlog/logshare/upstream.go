package logshare

// attach adds a reader.
func (u *upstream) attach(r *reader) { u.readers[r] = struct{}{} }

// moved notes that a reader has come to position.
func (u *upstream) moved(position int64) {
	u.fastest = max(u.fastest, position)
	u.demand.Signal()
}

// detach takes a reader away. It reports whether nobody uses u any more; the caller closes it then.
func (u *upstream) detach(r *reader) (unused bool) {
	delete(u.readers, r)
	u.demand.Signal()
	if u.used() {
		return false
	}
	u.run.remove(u)
	return true
}

// used reports whether u has readers, or is kept for those who may come.
func (u *upstream) used() bool { return len(u.readers) > 0 || u.run.kept == u }

// close ends the pump. It must not be called with run.mu held.
func (u *upstream) close() {
	u.cancel()
	<-u.done
	u.run.mu.Lock()
	u.discard()
	u.run.mu.Unlock()
	u.run.source.memory.release(u.granted)
	u.run.source.leave(u.run)
}
