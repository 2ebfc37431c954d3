package follow

import (
	"fmt"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// newEntry adds an entry for a new container. It returns the follower, or nil if the cursor that the stream resumes from says
// that the container is over. begins means that the stream begins with this container.
func (fs *followers) newEntry(pod podlog.Pod, key cursor.ContainerKey, status containerStatus, begins bool) *follower {
	plan := fs.st.plan
	f := &follower{
		source:   fs.st.source,
		tails:    fs.st.tails,
		plan:     plan,
		logger:   fs.st.logger,
		metrics:  fs.st.metrics,
		queue:    fs.st.queue,
		matching: fs.st.matching,
		status:   newStatusBox(status),
		since:    plan.since,
		places:   fs.places,
	}
	resumed := false
	if plan.after != nil {
		f.progress, resumed = plan.after.Containers[key]
	}
	switch departed, cameBack := fs.departed[key]; {
	case cameBack:
		f.progress, f.left = departed, !departed.Done
		delete(fs.departed, key)
	case begins && !resumed:
		f.progress = firstProgress(plan, status)
	}
	// A run that comes later is read from its beginning.
	if plan.tail != nil && (begins || resumed) && f.progress.Run != 0 && !f.progress.Done {
		f.tail = &tail{lines: *plan.tail, begun: fs.st.begun(), resumed: resumed}
	}
	f.container = fs.st.queue.Add(key, pod.Name, status.Name, f.progress)
	e := &entry{statusBox: f.status, podUID: pod.UID, container: f.container, ended: make(chan struct{})}
	fs.entries[key] = e
	if f.progress.Over {
		fs.st.queue.End(e.container)
		close(e.ended)
		return nil
	}
	return f
}

// firstProgress names the run that a stream begins with. Runs before it are not wanted.
func firstProgress(plan *plan, status containerStatus) cursor.Progress {
	run := status.Run
	if plan.previous {
		run = status.Previous
	}
	return cursor.Progress{Run: cursor.NewRunKey(run.ID), Restarts: run.Restarts}
}

// notifyResumed says that the stream goes on behind its cursor. A GAP counts the containers of the cursor that are gone before
// they were read to their end.
func (fs *followers) notifyResumed(inSnapshot map[cursor.ContainerKey]bool) {
	if fs.st.plan.after == nil {
		return
	}
	fs.notify(podlog.Resumed, "the stream goes on behind its cursor")
	absent := 0
	for key, p := range fs.st.plan.after.Containers {
		if !p.Over && !p.Done && !inSnapshot[key] {
			absent++
		}
	}
	if absent > 0 {
		fs.st.metrics.gap(gapPods)
		fs.notify(podlog.Gap, fmt.Sprintf("lines may be missing: %d containers are gone with their pods, and the rest of their logs "+
			"cannot be read", absent))
	}
}
