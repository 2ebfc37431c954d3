package fakeapi

import (
	"bytes"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// maxLog is how many bytes of a container's log are kept. The oldest lines go first, as when a kubelet rotates a log.
const maxLog = 1 << 20

// Log is the log of one run of a container. Any number of goroutines may use it.
type Log struct {
	mu      sync.Mutex
	entries []entry
	// first is how many entries were dropped. size is the bytes of the others.
	first, size int
	closed      bool
	// changed is closed at the next write. It is nil while nobody follows.
	changed chan struct{}
}

// entry is a line with its newline, or a part of a line. The next entry holds the rest.
type entry struct {
	time time.Time
	text []byte
}

// Write appends p with the current time. It never fails. After Close it drops p.
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

// Close ends the run. Readers that follow the log reach its end.
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

// after returns the entries from number next, or from the oldest one that is left, and the number that follows them. There are
// more when changed is closed. changed is nil when the log has ended.
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

// tail returns the number of the entry where the last n lines begin.
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

// podLogs holds the logs of all containers by container ID.
type podLogs struct {
	mu   sync.Mutex
	byID map[string]*Log
}

func newPodLogs() *podLogs { return &podLogs{byID: map[string]*Log{}} }

// OpenLog begins the log of a container's run. containerID is the run's ID in the pod's status: clients can read the log once
// the status has that ID, and no more once a later status lacks it. The caller closes the log when the run ends.
func (s *Server) OpenLog(containerID string) *Log {
	s.podLogs.mu.Lock()
	defer s.podLogs.mu.Unlock()
	l := &Log{}
	s.podLogs.byID[containerID] = l
	return l
}

func (l *podLogs) get(containerID string) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[containerID]
}

// forget drops the logs of runs that are in a pod's old status and not in the new one.
func (l *podLogs) forget(old, new Object) {
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

// containerIDs returns the runs whose logs a kubelet keeps: the last run of each container and the one before.
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
