package follow

import (
	"sync"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/queue"
)

// followers has a follower for each container that the watch of pods shows. It ends the watch when no more followers can
// come. Only the goroutine of the watch uses it, except for the fields that mu guards.
type followers struct {
	st *Stream
	// uid is the pod's, when the stream is of one pod.
	uid string
	// hadPods means that a snapshot had pods. first means that none was taken in yet.
	hadPods, first bool
	// jobWait fails the stream when its Job has no pod for too long.
	jobWait     *time.Timer
	waitedSince time.Time
	entries     map[cursor.ContainerKey]*entry
	// departed is how far containers were read that are gone, in case their pod comes back. It has at most
	// maxDeparted of them.
	departed map[cursor.ContainerKey]cursor.Progress
	// places are those of all followers.
	places *places
	// leftOut means that the reader knows that there are more than podlog.MaxContainers.
	leftOut bool
	// whole is for notices about the stream as a whole.
	whole *queue.Container

	mu sync.Mutex
	// active counts the followers that run.
	active int
	// sealed means that no follower will be added.
	sealed bool
	// empty says why there are no pods, as the reader was told; empty while there are some.
	empty string
}

// maxDeparted bounds followers.departed.
const maxDeparted = 1000

// entry is what followers knows of one follower.
type entry struct {
	*statusBox
	podUID    string
	container *queue.Container
	ended     chan struct{}   // closed, with followers.mu held, when the follower has ended
	progress  cursor.Progress // how far the follower has read, once it has ended
}

func (e *entry) hasEnded() bool {
	select {
	case <-e.ended:
		return true
	default:
		return false
	}
}

func newFollowers(st *Stream) *followers {
	fs := &followers{
		st: st, first: true,
		entries:  map[cursor.ContainerKey]*entry{},
		departed: map[cursor.ContainerKey]cursor.Progress{},
	}
	fs.places = newPlaces(fs.notifyWaiting)
	fs.whole = st.queue.Add(0, "", "", cursor.Progress{})
	return fs
}

// close is called when the watch has ended.
func (fs *followers) close() {
	if fs.jobWait != nil {
		fs.jobWait.Stop()
	}
}

// remove removes an entry whose follower has ended, and remembers how far it has read.
func (fs *followers) remove(key cursor.ContainerKey, e *entry) {
	delete(fs.entries, key)
	fs.st.queue.Retire(e.container)
	if len(fs.departed) < maxDeparted {
		fs.departed[key] = e.progress
	}
}

// finishIfComplete ends the watch, and so the stream, when no follower runs and none will be added. fs.mu is held.
func (fs *followers) finishIfComplete() {
	if fs.sealed && fs.active == 0 {
		fs.st.stopWatch()
	}
}

func (fs *followers) isSealed() bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.sealed
}

// notify sends a notice about the stream as a whole. It returns false if it has dropped the notice because the queue is full. What
// is still true then is to be told later.
func (fs *followers) notify(kind podlog.NoticeKind, message string) bool {
	return fs.st.queue.TryPush(fs.whole, queue.NewNotice(podlog.Notice{Kind: kind, Message: message}, cursor.Progress{}))
}
