package fakeapi

import (
	"bytes"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// maxLog is how many bytes of a container's log are kept; the oldest lines go first, as when a kubelet rotates.
const maxLog = 1 << 20

// Log is what one run of a container has written. It is safe for concurrent use.
type Log struct {
	mu      sync.Mutex
	entries []entry
	// first is the number of entries that have gone, size the bytes of those that are left.
	first, size int
	closed      bool
	// changed is closed at the next write; nil while nobody follows.
	changed chan struct{}
}

// entry is a line with its newline, or a part of one: the rest of its line is the next entry.
type entry struct {
	time time.Time
	text []byte
}

// Write appends p, all of it at the present time. It never fails; what is written after Close is lost.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return len(p), nil
	}
	now := time.Now()
	for line := range bytes.Lines(bytes.Clone(p)) {
		l.entries = append(l.entries, entry{now, line})
		l.size += len(line)
	}
	gone := 0
	for ; l.size > maxLog && gone < len(l.entries)-1; gone++ {
		l.size -= len(l.entries[gone].text)
	}
	l.first += gone
	l.entries = l.entries[gone:]
	l.wake()
	return len(p), nil
}

// Close ends the run. Those who follow the log reach its end.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

func (l *Log) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// after returns the entries from number next on, or from the oldest that is left, and the number that follows them.
// More come when changed is closed; it is nil when the log has ended.
func (l *Log) after(next int) (entries []entry, following int, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = max(next, l.first)
	following = l.first + len(l.entries)
	entries = l.entries[next-l.first:]
	if l.closed {
		return entries, following, nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return entries, following, l.changed
}

// tail returns the number of the entry that the last n lines begin with.
func (l *Log) tail(n int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := len(l.entries)
	for ; i > 0; i-- {
		startsLine := i == len(l.entries) || endsLine(l.entries[i-1].text)
		if startsLine {
			if n == 0 {
				break
			}
			n--
		}
	}
	return l.first + i
}

func endsLine(text []byte) bool { return bytes.HasSuffix(text, []byte("\n")) }

// logs holds the logs of all containers by container ID.
type logs struct {
	mu   sync.Mutex
	byID map[string]*Log
}

func newLogs() *logs { return &logs{byID: map[string]*Log{}} }

// OpenLog begins the log of a container's run; containerID is what the pod's status calls it. The log can be read as
// soon as the status names that ID, and is forgotten once a status that named it no longer does. The caller closes it
// when the run ends.
func (s *Server) OpenLog(containerID string) *Log {
	s.logs.mu.Lock()
	defer s.logs.mu.Unlock()
	l := &Log{}
	s.logs.byID[containerID] = l
	return l
}

func (l *logs) get(containerID string) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[containerID]
}

// forget drops the logs of containers that a pod's old status names and the new one does not.
func (l *logs) forget(old, new Object) {
	if old == nil {
		return
	}
	kept := map[string]bool{}
	if new != nil {
		for _, id := range containerIDs(new.(*corev1.Pod)) {
			kept[id] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range containerIDs(old.(*corev1.Pod)) {
		if log := l.byID[id]; log != nil && !kept[id] {
			log.Close()
			delete(l.byID, id)
		}
	}
}

// containerIDs returns the runs that a kubelet keeps logs of: the last and the one before, for each container.
func containerIDs(pod *corev1.Pod) []string {
	var ids []string
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, status := range statuses {
			ids = append(ids, status.ContainerID)
			if t := status.State.Terminated; t != nil {
				ids = append(ids, t.ContainerID)
			}
			if t := status.LastTerminationState.Terminated; t != nil {
				ids = append(ids, t.ContainerID)
			}
		}
	}
	return ids
}
