package sharedlog

import (
	"context"
	"errors"
	"fmt"
	"testing/synctest"
	"time"

	"pullwatch/internal/pull"
)

// step is one thing that may happen. Its function reports whether it can now.
type step struct {
	name string
	do   func(w *world) bool
}

// happen lets the next change happen in the cluster.
var happen = step{"change", func(w *world) bool {
	if len(w.script) == 0 {
		return false
	}
	w.history, w.script = append(w.history, w.script[0]), w.script[1:]
	return true
}}

// watch begins a watch, with a list, where a replica needs one, or another one where the leader has missed something.
func watch(i int) step {
	return step{fmt.Sprintf("r%d watches", i), func(w *world) bool {
		r := w.replicas[i]
		again := r.leads && len(r.hub.Missed()) > 0
		if r.watching && !again || r.Live() && !r.leads {
			return false
		}
		r.watching, r.seen = true, len(w.history)
		select {
		case <-r.hub.Missed():
		default:
		}
		from := len(w.history)
		if jobs, _ := r.ResourceVersions(); jobs > 0 {
			from = min(from, int(jobs))
		}
		r.BeginWatch(uint64(from), uint64(from))
		listed := map[string]bool{}
		for _, c := range w.history[:from] {
			if exists, last := w.existed(c.id, from); exists && !listed[c.id] {
				listed[c.id] = true
				r.Publish(w.stateAt(last))
			}
		}
		for v := from + 1; v <= len(w.history); v++ {
			w.show(r, v)
		}
		for _, known := range r.Pulls() {
			if exists, _ := w.exists(known.ID); !exists && known.Revision.Cluster <= uint64(len(w.history)) {
				w.end(r, known.ID)
			}
		}
		r.SetSynced()
		r.SetResourceVersions(uint64(r.seen), uint64(r.seen))
		return true
	}}
}

// show publishes a change that a replica sees.
func (w *world) show(r *modelReplica, version int) {
	if c := w.history[version-1]; c.gone {
		w.end(r, c.id)
	} else {
		r.Publish(w.stateAt(version))
	}
}

// end publishes the final state of a pull whose Job is gone.
func (w *world) end(r *modelReplica, id string) {
	if _, last := w.exists(id); last > 0 && w.history[last-1].phase.Final() {
		r.Publish(w.stateAt(last))
	} else if known := r.Latest(id); known != nil {
		r.Publish(pull.LostState(known))
	}
	r.Retire(id)
}

// start has a replica start a pull: that is the next change.
func start(i int) step {
	return step{fmt.Sprintf("r%d starts a pull", i), func(w *world) bool {
		if len(w.script) == 0 || w.script[0].phase != pull.Queued {
			return false
		}
		happen.do(w)
		w.replicas[i].Publish(w.stateAt(len(w.history)))
		return true
	}}
}

// flush empties Redis.
var flush = step{"Redis is flushed", func(w *world) bool {
	return w.journal.destroy(context.Background(), w.journal.name) == nil && w.journal.name == ""
}}

// failover loses what was appended last: a replica of Redis that lacks it takes over.
var failover = step{"Redis fails over", func(w *world) bool {
	if w.journal.before == nil {
		return false
	}
	before, nonce, logs, clock := w.journal.before, w.journal.nonce, w.journal.logs, w.journal.clock
	*w.journal = *before
	w.journal.nonce, w.journal.logs, w.journal.clock = nonce, logs, clock
	for id, last := range w.client.last {
		if last.Position.Seq > w.journal.seq {
			w.client.snapshot[id] = false // it may come again, at another offset
		}
	}
	return true
}}

// see hands one change to a replica that watches.
func see(i int) step {
	return step{fmt.Sprintf("r%d sees", i), func(w *world) bool {
		r := w.replicas[i]
		if !r.watching || r.seen == len(w.history) {
			return false
		}
		r.seen++
		w.show(r, r.seen)
		r.SetResourceVersions(uint64(r.seen), uint64(r.seen))
		return true
	}}
}

// write appends what waits, and a leader's heartbeat.
func write(i int) step {
	return step{fmt.Sprintf("r%d writes", i), func(w *world) bool {
		beat := w.replicas[i].leads && w.replicas[i].watching
		for w.replicas[i].writeBatch(context.Background(), beat) {
		}
		return true
	}}
}

// read takes what the log holds.
func read(i int) step {
	return step{fmt.Sprintf("r%d reads", i), func(w *world) bool {
		r := w.replicas[i]
		if r.at == nil {
			return false
		}
		if r.attached == "" { // writing has ended the session
			r.at = nil
			return true
		}
		if _, err := r.advance(context.Background(), r.at); err != nil {
			r.at = nil
			r.detach()
		}
		return true
	}}
}

// lose ends a replica's session, as a broken connection does.
func lose(i int) step {
	return step{fmt.Sprintf("r%d loses the log", i), func(w *world) bool {
		r := w.replicas[i]
		if r.at == nil {
			return false
		}
		r.at = nil
		r.detach()
		return true
	}}
}

// attach begins a session.
func attach(i int) step {
	return step{fmt.Sprintf("r%d attaches", i), func(w *world) bool {
		r := w.replicas[i]
		if r.at != nil {
			return false
		}
		if !w.journal.ready && (!r.leads || !r.isSynced()) {
			return false // it would wait for a leader
		}
		c, err := r.open(context.Background())
		if err == nil {
			r.at, err = r.enter(context.Background(), c)
		}
		if errors.Is(err, errGap) {
			return true // it has removed a log that lacks entries, and attaches later
		}
		if err != nil {
			w.fault = err.Error()
		}
		return true
	}}
}

// silence lets so much time pass that a replica misses the leader.
func silence(i int) step {
	return step{fmt.Sprintf("r%d misses the leader", i), func(w *world) bool {
		r := w.replicas[i]
		if !r.Live() {
			return false
		}
		r.mu.Lock()
		r.lastHeartbeat = time.Time{}
		r.mu.Unlock()
		r.updateLive()
		return true
	}}
}

// wait lets so much time pass that a replica publishes by itself what the log has not returned.
func wait(i int) step {
	return step{fmt.Sprintf("r%d waits no longer", i), func(w *world) bool {
		r := w.replicas[i]
		if !r.timing {
			return false
		}
		r.timerFired()
		return true
	}}
}

// giveUp lets so much time pass that the client gets a snapshot, and nobody else notices.
var giveUp = step{"the client waits no longer", func(w *world) bool {
	if !w.held() {
		return false
	}
	const holdLimit = 20 * time.Second
	for _, r := range w.replicas {
		if r.timing {
			r.timer.Stop()
		}
	}
	time.Sleep(holdLimit) // fake time
	synctest.Wait()
	for _, r := range w.replicas {
		if r.timing {
			r.timer.Reset(flushLimit)
		}
		r.lastHeartbeat = r.lastHeartbeat.Add(holdLimit)
	}
	w.journal.beat = w.journal.beat.Add(holdLimit)
	if w.held() {
		w.fault = "the client waits for ever"
	}
	return true
}}

// lead gives a replica the Lease. The one that had it does not know yet.
func lead(i int) step {
	return step{fmt.Sprintf("r%d leads", i), func(w *world) bool {
		if w.leader == i {
			return false
		}
		w.leader, w.replicas[i].leads = i, true
		return true
	}}
}

// yield has a replica find out that it no longer leads.
func yield(i int) step {
	return step{fmt.Sprintf("r%d leads no longer", i), func(w *world) bool {
		r := w.replicas[i]
		if !r.leads || w.leader == i {
			return false
		}
		r.leads = false
		return true
	}}
}

// visit has the client connect to a replica.
func visit(i int) step {
	return step{fmt.Sprintf("the client goes to r%d", i), func(w *world) bool {
		c, hub := &w.client, w.replicas[i].hub
		if c.sub != nil {
			c.sub.Close()
		}
		sub, err := hub.Subscribe(nil, c.after)
		if err != nil {
			w.fault = err.Error()
		}
		c.at, c.sub, c.placed = i, sub, false
		return true
	}}
}

// restart replaces a replica by a new one, which knows nothing.
func restart(i int) step {
	return step{fmt.Sprintf("r%d restarts", i), func(w *world) bool {
		if w.client.sub != nil && w.client.at == i {
			return false // the client goes elsewhere first
		}
		w.replicas[i].stopTimer()
		w.restarts++
		if w.leader == i {
			w.leader = -1
		}
		w.replicas[i] = w.newReplica(i, fmt.Sprintf("r%dx%d", i, w.restarts))
		return true
	}}
}
