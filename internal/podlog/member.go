package podlog

import (
	"fmt"
	"time"
)

// newMember makes a lane for a container that is new, and a follower unless the cursor that the stream began with says
// that there is nothing left to follow. begins means that the stream begins with this container.
func (r *roster) newMember(pod string, key sourceKey, status containerStatus, begins bool) *follower {
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
		f.mark, resumed = plan.after.marks[key]
	}
	switch left, cameBack := r.left[key]; {
	case cameBack:
		f.mark = left
		delete(r.left, key)
	case begins && !resumed:
		f.mark = firstMark(plan, status)
	}
	// A run that comes later is read from its beginning.
	if plan.tail != nil && (begins || resumed) && f.mark.run != 0 && !f.mark.done {
		f.tail = &tail{lines: *plan.tail, begun: r.st.begun(), resumed: resumed}
	}
	f.lane = &lane{key: key, pod: pod, container: status.Name, mark: f.mark, room: make(chan struct{}, 1)}
	r.st.queue.add(f.lane)
	m := &member{statusBox: f.status, lane: f.lane, ended: make(chan struct{})}
	r.members[key] = m
	if f.mark.over {
		close(m.ended)
		return nil
	}
	r.st.queue.activate(f.lane, status.Run.ID != "")
	return f
}

// firstMark names the run that a stream begins with: what had ended before it is not asked for.
func firstMark(plan *plan, status containerStatus) mark {
	run := status.Run
	if plan.previous {
		run = status.Previous
	}
	return mark{run: newRunKey(run.ID), restarts: run.Restarts}
}

// tellAbsent tells of what the cursor that the stream began with had not read to the end and is gone.
func (r *roster) tellAbsent(present map[sourceKey]bool) {
	if r.st.plan.after == nil {
		return
	}
	r.tell(Resumed, "the stream goes on behind its cursor")
	absent := 0
	for key, m := range r.st.plan.after.marks {
		if !m.over && !m.done && !present[key] {
			absent++
		}
	}
	if absent > 0 {
		r.st.metrics.gap(gapPods)
		r.tell(Gap, fmt.Sprintf("lines may be missing: %d containers are gone with their pods, and the rest of their logs "+
			"cannot be read", absent))
	}
}

// tell sends a notice about the stream as a whole, unless the queue is full: nobody has read for long then, and what it
// tells will be old.
func (r *roster) tell(kind NoticeKind, message string) {
	c := newNotice(Notice{Kind: kind, Message: message}, mark{})
	c.arrived = time.Now()
	r.st.queue.tryPush(r.lane, c)
}
