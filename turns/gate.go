package turns

import (
	"runtime"
	"sync"
)

// Gate shares out the processors among clients. The Go scheduler has one line for all goroutines: a client with hundreds of
// connections that all have something to do stands in it hundreds of times, and who comes after him waits for all of that.
// A goroutine that has work for a client therefore passes the Gate first. It is let through when it is the client's turn
// and those before it have got a processor. It is for any number of goroutines.
type Gate struct {
	mu sync.Mutex
	// called is how many were let through that have not got a processor yet, of at most limit.
	called, limit int
	lines         map[string]*line
	// last is the last line of a ring of them: its turn was last. It is nil when nobody waits.
	last *line
	// unused are lines, by next, so that a request allocates nothing.
	unused *line
}

// line is the goroutines of one client that wait. There is none without one.
type line struct {
	client      string
	first, last *waiter
	next        *line
}

// waiter is a goroutine that waits.
type waiter struct {
	called bool
	// parked is closed when it is called; nil if it has not been parked.
	parked chan struct{}
	next   *waiter
}

var waiters = sync.Pool{New: func() any { return &waiter{} }}

// NewGate returns a Gate.
func NewGate() *Gate { return &Gate{limit: runtime.GOMAXPROCS(0), lines: map[string]*line{}} }

// Pass returns when it is the client's turn. Nothing has to be given back: the next one is let through at once.
func (g *Gate) Pass(client string) {
	w := waiters.Get().(*waiter)
	g.mu.Lock()
	g.enter(client, w)
	g.mu.Unlock()
	// Those before it in the scheduler's line come to stand here as well, each in the line of its client.
	runtime.Gosched()
	g.mu.Lock()
	g.call()
	if !w.called {
		w.parked = make(chan struct{})
		g.mu.Unlock()
		<-w.parked
		g.mu.Lock()
	}
	g.called--
	g.call()
	g.mu.Unlock()
	*w = waiter{}
	waiters.Put(w)
}

// enter puts a waiter at the end of its client's line.
func (g *Gate) enter(client string, w *waiter) {
	if l := g.lines[client]; l != nil {
		l.last.next, l.last = w, w
		return
	}
	l := g.unused
	if l == nil {
		l = &line{}
	} else {
		g.unused = l.next
	}
	l.client, l.first, l.last = client, w, w
	g.lines[client] = l
	if g.last == nil {
		l.next = l
	} else {
		l.next, g.last.next = g.last.next, l
	}
	g.last = l
}

// call lets through as many as may be on their way to a processor.
func (g *Gate) call() {
	for g.called < g.limit && g.last != nil {
		l := g.last.next
		w := l.first
		l.first, w.next = w.next, nil
		if l.first != nil {
			g.last = l
		} else {
			g.remove(l)
		}
		g.called++
		if w.called = true; w.parked != nil {
			close(w.parked)
		}
	}
}

// remove removes the line whose turn it was, in which nobody waits.
func (g *Gate) remove(l *line) {
	if g.last == l {
		g.last = nil
	} else {
		g.last.next = l.next
	}
	delete(g.lines, l.client)
	*l = line{next: g.unused}
	g.unused = l
}
