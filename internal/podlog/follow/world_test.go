package follow

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"pullwatch/internal/podlog"
)

// world is a cluster with one Job. Its pods and logs do at random all that pods and logs may do. The same seed does the same
// again. The world remembers which lines were written: the truth that streams are compared with.
type world struct {
	mu     sync.Mutex
	seed   uint64
	random *rand.Rand
	pods   []*worldPod
	final  bool
	// outage refuses requests for logs; faults breaks open ones.
	outage, faults bool
	// steps counts what has happened. At step leavesAt the node goes away; 0 stands for never. It comes back awayFor later
	// than the end, or never when that is 0.
	steps, leavesAt int
	away            bool
	awayFor         time.Duration
	// generation counts how often all connections were cut.
	generation int
	// changed is closed and made anew with every change.
	changed chan struct{}
	now     int64
	// lag is by how much the status of pods is behind.
	lag time.Duration
}

type worldPod struct {
	name       string
	deleted    bool
	finished   bool
	containers []*worldContainer
}

type worldContainer struct {
	pod  *worldPod
	name string
	runs []*worldRun
	// lines counts those of all runs.
	lines int
	// crashed means that the last run has ended and the next one is not there yet.
	crashed bool
	// random decides what happens to requests for this container's log. Each container has its own, so that the order of
	// requests for different containers does not matter.
	random *rand.Rand
}

type worldRun struct {
	id       string
	restarts int
	running  bool
	lines    []worldLine
	// first is the first line that has not been rotated away.
	first int
	// opened means that the log was asked for.
	opened  bool
	started time.Time
	ended   time.Time
	// removed means that the node has deleted the log of a run that has ended. endedEarly means that a response to a request
	// that followed the log has ended while the run went on; then the log is not removed.
	removed, endedEarly bool
}

type worldLine struct {
	nanos int64
	raw   []byte
}

const maxPods, maxPodContainers = 6, 2

func newWorld(seed uint64) *world {
	w := &world{seed: seed, random: rand.New(rand.NewPCG(seed, 1)), changed: make(chan struct{}), faults: true}
	w.lag = time.Duration(w.random.IntN(2)*w.random.IntN(1000)) * time.Millisecond
	// This has a source of its own, so that the rest happens as without it.
	if random := rand.New(rand.NewPCG(seed, 4)); random.IntN(4) == 0 {
		w.leavesAt = 1 + random.IntN(500)
		w.awayFor = time.Duration(random.IntN(2)*random.IntN(120_000)) * time.Millisecond
	}
	w.addPod()
	return w
}

// wake wakes all that wait for a change. mu is held.
func (w *world) wake() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) addPod() {
	p := &worldPod{name: fmt.Sprintf("pod-%d", len(w.pods))}
	for i := range 1 + w.random.IntN(maxPodContainers) {
		p.containers = append(p.containers, &worldContainer{pod: p, name: fmt.Sprintf("c%d", i),
			random: rand.New(rand.NewPCG(w.seed, uint64(1000+10*len(w.pods)+i)))})
	}
	w.pods = append(w.pods, p)
}

func (c *worldContainer) last() *worldRun {
	if len(c.runs) == 0 {
		return nil
	}
	return c.runs[len(c.runs)-1]
}

func (w *world) start(c *worldContainer) {
	w.tick()
	id := fmt.Sprintf("%s-%s-%d", c.pod.name, c.name, len(c.runs))
	// The start is noted a little after the run may have written its first line.
	started := time.Unix(0, w.now).Add(time.Duration(w.random.IntN(5)) * time.Millisecond).Truncate(time.Second)
	c.runs = append(c.runs, &worldRun{id: id, restarts: len(c.runs), running: true, started: started})
	c.crashed = false
}

// mayStart reports whether a container may start its next run. After its first restart it has to wait, unless its status is
// never behind.
func (w *world) mayStart(c *worldContainer) bool {
	return len(c.runs) < 2 || w.lag == 0 || time.Since(c.last().ended) > 10*time.Second
}

// stop ends the current run.
func (c *worldContainer) stop() {
	c.last().running, c.last().ended = false, time.Now()
}

// write appends lines to the log of the current run.
func (w *world) write(c *worldContainer) {
	size := w.random.IntN(100)
	switch w.random.IntN(200) {
	case 0:
		size = 10 << 20
	case 1, 2:
		size = w.random.IntN(2 * podlog.DefaultLineBytes)
	case 3, 4, 5:
		size = w.random.IntN(4 << 10)
	}
	n := 1 + w.random.IntN(20)
	if w.random.IntN(50) == 0 && size < 10_000 {
		n = 1000
	}
	for range n {
		w.tick()
		message := fmt.Appendf(nil, "%d ", c.lines)
		filler := byte('a' + w.random.IntN(26))
		if w.random.IntN(20) == 0 {
			filler = 0xff
		}
		message = append(message, bytes.Repeat([]byte{filler}, size)...)
		raw := append(time.Unix(0, w.now).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000000000Z07:00"), ' ')
		raw = append(append(raw, message...), '\n')
		c.last().lines = append(c.last().lines, worldLine{nanos: w.now, raw: raw})
		c.lines++
		if size > 1<<20 {
			break
		}
	}
}

// tick moves the clock of the node on. The clock may also stand still, or be set back within its second.
func (w *world) tick() {
	w.now = max(w.now, time.Now().UnixNano())
	switch w.random.IntN(8) {
	case 0:
		w.now -= min(w.now%int64(time.Second), int64(w.random.IntN(int(time.Millisecond))))
	case 1, 2, 3:
	default:
		w.now += int64(w.random.IntN(1000))
	}
}

// step does one of the things that may happen.
func (w *world) step() {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.wake()
	p := w.pods[w.random.IntN(len(w.pods))]
	c := p.containers[w.random.IntN(len(p.containers))]
	running := c.last() != nil && c.last().running
	if w.steps++; w.steps == w.leavesAt {
		w.outage, w.away = true, true
		w.generation++
	}
	switch n := w.random.IntN(100); {
	case n < 2:
		w.outage = true
		w.generation++
	case n < 8:
		w.outage = w.away
	case n < 11:
		w.generation++
	case n < 14 && len(w.pods) < maxPods:
		w.addPod()
	case p.deleted || p.finished:
	case n < 15 && p != w.pods[0]:
		p.deleted = true
		for _, c := range p.containers {
			if c.last() != nil {
				c.last().running = false
			}
		}
	case !running && w.mayStart(c):
		w.start(c)
		if w.lag > 0 && len(c.runs) == 1 && w.random.IntN(2) == 0 {
			// It restarts before its status shows the first run.
			w.write(c)
			c.stop()
			w.start(c)
			w.write(c)
		}
	case !running:
	case n < 18:
		c.stop()
		c.crashed = w.random.IntN(2) == 0
		if w.lag > 0 && w.mayStart(c) && w.random.IntN(2) == 0 {
			w.start(c)
		}
		if w.lag == 0 && w.random.IntN(4) == 0 {
			// A run starts and ends between two statuses.
			w.start(c)
			w.write(c)
			c.stop()
		}
	case n < 20 && c.last().opened:
		c.last().first += w.random.IntN(len(c.last().lines) - c.last().first + 1)
	default:
		w.write(c)
	}
}

// end ends all runs, and all faults except that the node is away.
func (w *world) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outage, w.faults = w.away, false
	for _, p := range w.pods {
		p.finished = true
		for _, c := range p.containers {
			if run := c.last(); run != nil && run.running && !p.deleted {
				run.running = false
				if n := len(run.lines); n > run.first && w.random.IntN(2) == 0 {
					// The last line has no end.
					run.lines[n-1].raw = bytes.TrimSuffix(run.lines[n-1].raw, []byte("\n"))
				}
			}
			c.crashed = false
		}
	}
	w.final = true
	w.wake()
}

// comeBack lets the node come back if it ever does.
func (w *world) comeBack() {
	if !w.away || w.awayFor == 0 {
		return
	}
	elapse(w.awayFor)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outage = false
	w.wake()
}

func (w *world) snapshot() podlog.Snapshot {
	s := podlog.Snapshot{Final: w.final}
	for _, p := range w.pods {
		if p.deleted {
			continue
		}
		pod := podlog.Pod{Name: p.name, UID: p.name, Finished: p.finished}
		for _, c := range p.containers {
			pod.Containers = append(pod.Containers, c.status())
		}
		s.Pods = append(s.Pods, pod)
	}
	return s
}

func (c *worldContainer) status() podlog.Container {
	status := podlog.Container{Name: c.name}
	run, previous := c.readable()
	if run == nil {
		status.Waiting = "ContainerCreating"
		return status
	}
	status.Run = podlog.Run{ID: run.id, Restarts: run.restarts, Started: run.started, Running: run.running}
	if previous != nil {
		status.Previous = podlog.Run{ID: previous.id, Restarts: previous.restarts, Started: previous.started}
	}
	if c.crashed {
		status.Waiting = "CrashLoopBackOff"
	}
	return status
}

// readable returns the runs whose logs requests for the current and the previous run give.
func (c *worldContainer) readable() (run, previous *worldRun) {
	run = c.last()
	switch {
	case c.crashed:
		previous = run
	case len(c.runs) > 1:
		previous = c.runs[len(c.runs)-2]
	}
	return run, previous
}

func (w *world) WatchPods(ctx context.Context, _ podlog.Target, deliver func(podlog.Snapshot)) error {
	for lag := time.Duration(0); ; lag = w.lag {
		w.mu.Lock()
		snapshot, changed := w.snapshot(), w.changed
		w.mu.Unlock()
		select {
		case <-time.After(lag):
		case <-ctx.Done():
			return ctx.Err()
		}
		deliver(snapshot)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
