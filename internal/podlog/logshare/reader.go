package logshare

import (
	"context"
	"errors"
	"io"
	"io/fs"
)

// errOverrun is what a reader gets that the ring has moved past.
var errOverrun = errors.New("the log was read too slowly")

var _ io.ReadCloser = (*reader)(nil)

// newReader attaches a reader to u. The caller holds run.mu, and closes the reader.
func newReader(ctx context.Context, u *upstream, since, position int64) *reader {
	r := &reader{ctx: ctx, run: u.run, since: since, upstream: u, position: position}
	u.attach(r)
	u.run.source.metrics.readers.Inc()
	return r
}

// awaitOpen returns when the log is open, or why it cannot be opened.
func (r *reader) awaitOpen() error {
	for {
		r.run.mu.Lock()
		open, err, changed := !r.upstream.opened.IsZero(), r.upstream.err, r.run.wait()
		r.run.mu.Unlock()
		switch {
		case open:
			return nil
		case err != nil:
			return err
		}
		if err := r.await(changed); err != nil {
			return err
		}
	}
}

func (r *reader) await(changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		r.run.mu.Lock()
		left := r.changeUpstream()
		data, err := r.next(len(p))
		var changed <-chan struct{}
		if len(data) == 0 && err == nil {
			changed = r.run.wait()
		}
		r.run.mu.Unlock()
		if left != nil {
			left.close()
		}
		if len(data) > 0 || err != nil {
			return copy(p, data), err
		}
		if err := r.await(changed); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// changeUpstream moves r to an earlier upstream that holds what it wants next. It returns the one that it has left when
// nobody reads that any more; the caller closes it.
func (r *reader) changeUpstream() (left *upstream) {
	if r.closed || r.upstream.err != nil || r.upstream.request.Ended {
		// A request for a log that does not grow ends by itself, and the one before it may hang.
		return nil
	}
	for _, u := range r.run.upstreams {
		if u == r.upstream {
			break
		}
		position, ok := u.find(&r.upstream.ring, r.position)
		if !ok {
			continue
		}
		old := r.upstream
		u.attach(r)
		r.upstream, r.position = u, position
		if old.detach(r) {
			return old
		}
		break
	}
	return nil
}

// next returns at most limit bytes, which follow what it returned last, and moves behind them. It returns nothing when
// there is nothing yet.
func (r *reader) next(limit int) ([]byte, error) {
	u := r.upstream
	switch {
	case r.closed:
		return nil, fs.ErrClosed
	case r.position < u.start:
		u.run.source.metrics.overruns.Inc()
		return nil, errOverrun
	}
	if r.since != noTime {
		r.skip()
	}
	data := r.readable(limit)
	r.position += int64(len(data))
	u.moved(r.position)
	if len(data) == 0 && r.position == u.head {
		return nil, u.err
	}
	return data, nil
}

// skip moves behind lines that r does not want.
func (r *reader) skip() {
	u := r.upstream
	i := u.lineAt(r.position)
	if r.skipping {
		r.position = u.dated()
		if i < len(u.lines) {
			r.position = u.lines[i].start
		}
	}
	for ; i < len(u.lines) && u.lines[i].start == r.position; i++ {
		r.skipping = !r.wants(u.lines[i])
		if !r.skipping {
			return
		}
		r.position = u.lineEnd(i)
	}
}

// wants reports whether r wants a line. One whose timestamp is not known, not even by the line before, was sent for some
// reason.
func (r *reader) wants(l line) bool { return l.time >= r.since || l.time == noTime }

// readable returns at most limit bytes that r wants.
func (r *reader) readable(limit int) []byte {
	u := r.upstream
	end := u.head
	if r.since != noTime {
		end = u.dated()
	}
	if r.position == end {
		return nil
	}
	data := u.piece(r.position, min(end, r.position+int64(limit)))
	end = r.position + int64(len(data))
	lines := u.lines[u.lineAt(r.position+1):u.lineAt(end)]
	if r.since != noTime {
		for _, l := range lines {
			if !r.wants(l) {
				return data[:l.start-r.position]
			}
		}
	}
	if n := len(lines); n > 0 && u.err == nil && u != r.run.upstreams[0] && !u.beginsLine(end) {
		// Only where a line begins can r change to another upstream.
		return data[:lines[n-1].start-r.position]
	}
	return data
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.run.mu.Lock()
	if r.closed {
		r.run.mu.Unlock()
		return nil
	}
	r.closed = true
	unused := r.upstream.detach(r)
	r.run.wake()
	r.run.mu.Unlock()
	if unused {
		r.upstream.close()
	}
	source := r.run.source
	source.metrics.readers.Dec()
	source.leave(r.run)
	return nil
}
