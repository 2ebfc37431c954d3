package follow

import (
	"sync"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/queue"
)

// followers has a follower for each container that the watch shows. It ends the watch when nothing more can come. Only the
// goroutine of the watch uses it, except for the fields that mu guards.
type followers struct {
	st *Stream
	// uid is that of the pod, when the stream is of one pod.
	uid     string
	hadPods bool
	first   bool
	// jobWait fails the stream when its Job has no pod for too long.
	jobWait     *time.Timer
	waitedSince time.Time
	entries     map[cursor.ContainerKey]*entry
	// left is how far containers had been read that are no longer there. At most maxLeft are remembered, in case that a
	// selector matches their pod again.
	left map[cursor.ContainerKey]cursor.Progress
	// whole is for notices about the stream as a whole.
	whole *queue.Container

	mu     sync.Mutex
	active int
	// sealed means that no follower will be added.
	sealed bool
	// empty says why there are no pods yet.
	empty string
}

// maxLeft bounds followers.left.
const maxLeft = 1000

// entry is what followers know of one follower.
type entry struct {
	*statusBox
	container *queue.Container
	ended     chan struct{}   // closed with followers.mu held
	progress  cursor.Progress // how far the follower has come, once it has ended
}

func (m *entry) hasEnded() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

func newFollowers(st *Stream) *followers {
	r := &followers{st: st, first: true, entries: map[cursor.ContainerKey]*entry{}, left: map[cursor.ContainerKey]cursor.Progress{}}
	r.whole = st.queue.Add(0, "", "", cursor.Progress{})
	return r
}

// close is called when the watch has ended.
func (r *followers) close() {
	if r.jobWait != nil {
		r.jobWait.Stop()
	}
}

// leave takes an entry out whose follower has ended.
func (r *followers) leave(key cursor.ContainerKey, m *entry) {
	delete(r.entries, key)
	r.st.queue.Retire(m.container)
	if len(r.left) < maxLeft {
		r.left[key] = m.progress
	}
}

// finishIfComplete ends the stream when all that it will ever have is delivered. It is called with mu held.
func (r *followers) finishIfComplete() {
	if r.sealed && r.active == 0 {
		r.st.stopWatch()
	}
}

func (r *followers) isSealed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sealed
}

// tell sends a notice about the stream as a whole, unless the queue is full: nobody has read for long then, and what it
// tells will be old.
func (r *followers) tell(kind podlog.NoticeKind, message string) {
	r.st.queue.TryPush(r.whole, queue.NewNotice(podlog.Notice{Kind: kind, Message: message}, cursor.Progress{}))
}
