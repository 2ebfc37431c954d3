package graphqlws

import (
	"container/heap"
	"sync"
	"time"
)

// schedule wakes connections at their times, all of them with one timer.
type schedule struct {
	mu    sync.Mutex
	heap  alarms
	timer *time.Timer
	// ringing is held by the timer from when it is set until it has rung or has been stopped.
	ringing sync.WaitGroup
	armed   bool
	start   time.Time
}

// alarm is when a connection is to be woken.
type alarm struct {
	at      time.Duration // since the schedule's start
	index   int           // in the heap, if set
	set     bool
	removed bool
	wake    waker
}

// A waker is woken. It returns when it wants to be woken again, or false if never. It must not block.
type waker interface {
	woken(now time.Duration) (time.Duration, bool)
}

// now is the time since the schedule's start: shorter than a time.Time, and monotonic.
func (s *schedule) now() time.Duration { return time.Since(s.start) }

// set makes a ring at the given time, and at no other.
func (s *schedule) set(a *alarm, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.removed {
		return
	}
	a.at = at
	if a.set {
		heap.Fix(&s.heap, a.index)
	} else {
		heap.Push(&s.heap, a)
	}
	if a.index == 0 {
		s.arm()
	}
}

// remove makes a never ring again, whatever set is told. It may be ringing now.
func (s *schedule) remove(a *alarm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.removed = true
	if a.set {
		heap.Remove(&s.heap, a.index)
	}
	if len(s.heap) == 0 {
		s.disarm()
	}
}

// wait returns when the timer is not running. No alarm may be set by then.
func (s *schedule) wait() { s.ringing.Wait() }

func (s *schedule) disarm() {
	if s.armed && s.timer.Stop() {
		s.armed = false
		s.ringing.Done()
	}
}

func (s *schedule) arm() {
	s.disarm()
	if s.armed || len(s.heap) == 0 {
		return // it is ringing at this moment, and arms itself after that
	}
	s.armed = true
	s.ringing.Add(1)
	after := s.heap[0].at - s.now()
	if s.timer == nil {
		s.timer = time.AfterFunc(after, s.ring)
	} else {
		s.timer.Reset(after)
	}
}

func (s *schedule) ring() {
	defer s.ringing.Done()
	for {
		now := s.now()
		s.mu.Lock()
		if len(s.heap) == 0 || s.heap[0].at > now {
			s.armed = false
			s.arm()
			s.mu.Unlock()
			return
		}
		due := heap.Pop(&s.heap).(*alarm)
		s.mu.Unlock()
		if again, ok := due.wake.woken(now); ok {
			s.set(due, again)
		}
	}
}

// alarms is a heap.Interface, the earliest first.
type alarms []*alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].at < h[j].at }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *alarms) Push(x any) {
	a := x.(*alarm)
	a.index, a.set = len(*h), true
	*h = append(*h, a)
}
func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last], *h = nil, (*h)[:last]
	a.set = false
	return a
}
