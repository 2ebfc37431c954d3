package follow

import (
	"bytes"
	"strings"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/logline"
)

// containers returns all containers by pod and name.
func (w *world) containers() map[string]*worldContainer {
	all := map[string]*worldContainer{}
	for _, p := range w.pods {
		for _, c := range p.containers {
			all[p.name+"/"+c.name] = c
		}
	}
	return all
}

// firstLines returns, for each container, the number of the line that a stream begins with which starts now: the first line
// of the last run.
func (w *world) firstLines() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := map[string]int{}
	for name, c := range w.containers() {
		if run := c.last(); run != nil {
			first[name] = c.lines - len(run.lines)
		}
	}
	return first
}

// unseen returns how many lines at the beginning of runs may have been rotated away before a reader could see them. It counts
// runs that begin with the line next, or behind it after at most that many dropped lines.
func (c *worldContainer) unseen(next, dropped int) int {
	unseen, begin := 0, 0
	for _, run := range c.runs {
		if next <= begin && begin-next <= dropped+unseen {
			unseen += run.first
		}
		begin += len(run.lines)
	}
	return unseen
}

// beginsRun reports whether line i is the first of its run, or would be the first of the next.
func (c *worldContainer) beginsRun(i int) bool {
	begin := 0
	for _, run := range c.runs {
		if i == begin {
			return true
		}
		begin += len(run.lines)
	}
	return i == begin
}

// skipsRuns reports whether a reader that goes on with line i instead of line next has left out the rest of at least one run,
// and of the run after it only lines that were dropped or may be unseen.
func (c *worldContainer) skipsRuns(next, i, dropped int) bool {
	begin := 0
	for _, run := range c.runs {
		if i < begin+len(run.lines) {
			return next <= begin && i-begin <= dropped+run.first
		}
		begin += len(run.lines)
	}
	return false
}

// line returns line i of the container as it should be delivered.
func (c *worldContainer) line(i int) (podlog.Line, bool) {
	for _, run := range c.runs {
		if i < len(run.lines) {
			nanos, message := new(logline.Parser).Cut(bytes.TrimSuffix(run.lines[i].raw, []byte("\n")))
			text := strings.ReplaceAll(string(message), "\xff", "\uFFFD")
			return podlog.Line{Pod: c.pod.name, Container: c.name, Timestamp: logline.Time(nanos), Message: text}, true
		}
		i -= len(run.lines)
	}
	return podlog.Line{}, false
}
