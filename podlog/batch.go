package podlog

import (
	"context"
	"io"
	"time"
)

// batcher packs chunks into batches. Only the reader's goroutine uses it.
type batcher struct {
	chunks <-chan chunk
	// held did not fit into the last batch.
	held *chunk
	// marks is where the batches so far leave each container.
	marks map[sourceKey]mark
}

// next waits for a chunk and returns it with all that comes within BatchWindow and fits. It returns io.EOF when chunks
// is closed.
func (b *batcher) next(ctx context.Context) (*Batch, error) {
	taken, size, bytes := []chunk(nil), 0, 0
	var window <-chan time.Time
	for {
		c, err := b.receive(ctx, window)
		switch {
		case err != nil && size == 0:
			return nil, err
		case err != nil || c == nil:
			return b.pack(taken), nil
		case size+c.size() > MaxBatchLines || bytes+c.bytes > MaxBatchBytes:
			b.held = c
			return b.pack(taken), nil
		}
		if c.forget && size == 0 {
			delete(b.marks, c.key)
			continue
		}
		taken = append(taken, *c)
		size += c.size()
		bytes += c.bytes
		if window == nil && size > 0 {
			timer := time.NewTimer(time.Until(c.arrived.Add(BatchWindow)))
			defer timer.Stop()
			window = timer.C
		}
	}
}

// receive returns a chunk, or none when the window closes while nothing waits.
func (b *batcher) receive(ctx context.Context, window <-chan time.Time) (*chunk, error) {
	if c := b.held; c != nil {
		b.held = nil
		return c, nil
	}
	select {
	case c, ok := <-b.chunks:
		return received(c, ok)
	default:
	}
	select {
	case c, ok := <-b.chunks:
		return received(c, ok)
	case <-window:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func received(c chunk, ok bool) (*chunk, error) {
	if !ok {
		return nil, io.EOF
	}
	return &c, nil
}

func (b *batcher) pack(chunks []chunk) *Batch {
	batch := &Batch{Notices: []Notice{}}
	for _, c := range chunks {
		batch.Notices = append(batch.Notices, c.notices...)
		switch {
		case c.forget:
			delete(b.marks, c.key)
		case len(c.lines) > 0:
			b.marks[c.key] = c.mark
		}
	}
	batch.Lines = mergeLines(chunks)
	batch.Cursor = encodeCursor(b.marks)
	return batch
}
