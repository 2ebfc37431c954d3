package logshare

import (
	"context"
	"errors"
	"io"
	"io/fs"
)

// errOverrun is the error of a reader that the ring has moved past.
var errOverrun = errors.New("the log was read too slowly")

var _ io.ReadCloser = (*reader)(nil)

// newReader attaches a reader to u. run.mu is held. The caller closes the reader.
func newReader(ctx context.Context, u *upstream, since, offset int64) *reader {
	r := &reader{ctx: ctx, run: u.run, since: since, upstream: u, offset: offset}
	u.attach(r)
	u.run.source.metrics.readers.Inc()
	return r
}

// awaitOpen waits until the log is open. It returns the error if it cannot be opened.
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

// changeUpstream moves r to an earlier upstream that holds its next line. It returns the old upstream if that has no readers
// any more. The caller closes it.
func (r *reader) changeUpstream() (left *upstream) {
	if r.closed || r.upstream.err != nil || r.upstream.request.Ended {
		// A request for a log that has ended comes to its end soon. An earlier one may hang.
		return nil
	}
	for _, u := range r.run.upstreams {
		if u == r.upstream {
			break
		}
		offset, ok := u.find(&r.upstream.ring, r.offset)
		if !ok {
			continue
		}
		old := r.upstream
		u.attach(r)
		r.upstream, r.offset = u, offset
		if old.detach(r) {
			return old
		}
		break
	}
	return nil
}

// next returns the reader's next bytes, at most limit, and moves behind them. It returns none when there are none yet.
func (r *reader) next(limit int) ([]byte, error) {
	u := r.upstream
	switch {
	case r.closed:
		return nil, fs.ErrClosed
	case r.offset < u.start:
		u.run.source.metrics.overruns.Inc()
		return nil, errOverrun
	}
	if r.since != noTime {
		r.skip()
	}
	data := r.readable(limit)
	r.offset += int64(len(data))
	u.moved(r.offset)
	if len(data) == 0 && r.offset == u.head {
		return nil, u.err
	}
	return data, nil
}

// skip moves r behind lines that it does not want.
func (r *reader) skip() {
	u := r.upstream
	i := u.lineAt(r.offset)
	if r.skipping {
		r.offset = u.dated()
		if i < len(u.lines) {
			r.offset = u.lines[i].start
		}
	}
	for ; i < len(u.lines) && u.lines[i].start == r.offset; i++ {
		r.skipping = !r.wants(u.lines[i])
		if !r.skipping {
			return
		}
		r.offset = u.lineEnd(i)
	}
}

// wants reports whether r wants a line. A line without a timestamp, with none before it that has one, is wanted: the cluster
// has sent it.
func (r *reader) wants(l line) bool { return l.time >= r.since || l.time == noTime }

// readable returns at most limit bytes at r.offset that r wants.
func (r *reader) readable(limit int) []byte {
	u := r.upstream
	end := u.head
	if r.since != noTime {
		end = u.dated()
	}
	if r.offset == end {
		return nil
	}
	data := u.piece(r.offset, min(end, r.offset+int64(limit)))
	end = r.offset + int64(len(data))
	lines := u.lines[u.lineAt(r.offset+1):u.lineAt(end)]
	if r.since != noTime {
		for _, l := range lines {
			if !r.wants(l) {
				return data[:l.start-r.offset]
			}
		}
	}
	if n := len(lines); n > 0 && u.err == nil && u != r.run.upstreams[0] && !u.beginsLine(end) {
		// Return whole lines: r can change to another upstream only where a line begins.
		return data[:lines[n-1].start-r.offset]
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
