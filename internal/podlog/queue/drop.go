package queue

// dropOldest takes lines out, all of which are live, until n bytes have room.
func (q *Queue) dropOldest(n int) {
	for q.size+n > q.limit {
		var from *Container
		at := 0
		for _, l := range q.containers {
			i := l.oldestLines()
			if i >= 0 && (from == nil || l.chunks[i].arrived.Before(from.chunks[at].arrived)) {
				from, at = l, i
			}
		}
		if from == nil {
			return
		}
		dropped := len(from.chunks[at].lines)
		q.size -= from.drop(at)
		q.metrics.dropped(dropped)
	}
}

// oldestLines returns the index of the first chunk that has lines, or -1.
func (l *Container) oldestLines() int {
	for i, c := range l.chunks {
		if len(c.lines) > 0 {
			return i
		}
	}
	return -1
}

// drop leaves of a chunk only how many lines it had, together with those that were dropped right before it. It returns
// how many bytes that frees.
func (l *Container) drop(i int) int {
	c := l.chunks[i]
	before := l.size
	l.size -= c.size
	c.dropped, c.size = len(c.lines), ChunkOverhead
	c.lines, c.positions = nil, nil
	if i > 0 && l.chunks[i-1].dropped > 0 {
		l.chunks[i-1].dropped += c.dropped
		l.chunks[i-1].progress = c.progress
		l.chunks = append(l.chunks[:i], l.chunks[i+1:]...)
	} else {
		l.size += c.size
	}
	return before - l.size
}
