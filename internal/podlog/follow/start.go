package follow

import (
	"fmt"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// newEntry makes a container for a container that is new, and a follower unless the cursor that the stream began with says
// that there is nothing left to follow. begins means that the stream begins with this container.
func (r *followers) newEntry(pod string, key cursor.ContainerKey, status containerStatus, begins bool) *follower {
	plan := r.st.plan
	f := &follower{
		source:   r.st.source,
		plan:     plan,
		logger:   r.st.logger,
		metrics:  r.st.metrics,
		queue:    r.st.queue,
		matching: r.st.matching,
		status:   newStatusBox(status),
		since:    plan.since,
	}
	resumed := false
	if plan.after != nil {
		f.progress, resumed = plan.after.Containers[key]
	}
	switch left, cameBack := r.left[key]; {
	case cameBack:
		f.progress = left
		delete(r.left, key)
	case begins && !resumed:
		f.progress = firstMark(plan, status)
	}
	// A run that comes later is read from its beginning.
	if plan.tail != nil && (begins || resumed) && f.progress.Run != 0 && !f.progress.Done {
		f.tail = &tail{lines: *plan.tail, begun: r.st.begun(), resumed: resumed}
	}
	f.container = r.st.queue.Add(key, pod, status.Name, f.progress)
	m := &entry{statusBox: f.status, container: f.container, ended: make(chan struct{})}
	r.entries[key] = m
	if f.progress.Over {
		close(m.ended)
		return nil
	}
	r.st.queue.Activate(f.container, status.Run.ID != "")
	return f
}

// firstMark names the run that a stream begins with: what had ended before it is not asked for.
func firstMark(plan *plan, status containerStatus) cursor.Progress {
	run := status.Run
	if plan.previous {
		run = status.Previous
	}
	return cursor.Progress{Run: cursor.NewRunKey(run.ID), Restarts: run.Restarts}
}

// tellAbsent tells of what the cursor that the stream began with had not read to the end and is gone.
func (r *followers) tellAbsent(present map[cursor.ContainerKey]bool) {
	if r.st.plan.after == nil {
		return
	}
	r.tell(podlog.Resumed, "the stream goes on behind its cursor")
	absent := 0
	for key, m := range r.st.plan.after.Containers {
		if !m.Over && !m.Done && !present[key] {
			absent++
		}
	}
	if absent > 0 {
		r.st.metrics.gap(gapPods)
		r.tell(podlog.Gap, fmt.Sprintf("lines may be missing: %d containers are gone with their pods, and the rest of their logs "+
			"cannot be read", absent))
	}
}
