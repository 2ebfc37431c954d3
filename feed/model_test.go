package feed

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/pull"
)

// world is a small cluster with replicas whose Hubs and Streams are the real ones, driven step by step: what happens when
// is chosen by the test. Every replica has a watch, told here in a few lines, and a client goes from one to the other.
type world struct {
	journal  *memoryJournal
	script   []change // what is still to happen in the cluster
	history  []change
	replicas []*modelReplica
	leader   int
	client   modelClient
	fault    string
}

// change is a step of a pull, or its Job's end. The resourceVersion of the nth change is n.
type change struct {
	id    string
	phase pull.Phase
	gone  bool
}

type modelReplica struct {
	*Stream
	at       *cursor // nil while there is no session
	watching bool
	seen     int // how much of the history its watch has told
}

// modelClient follows all pulls and remembers what it was told.
type modelClient struct {
	at    int // the replica
	sub   *Subscription
	after pull.Position
	last  map[string]*pull.Job
	told  map[string]bool // by revision
}

func newWorld(replicas int, script ...change) *world {
	w := &world{journal: &memoryJournal{remembered: retired}, script: script, leader: -1}
	for i := range replicas {
		s := NewStream(Options{
			Hub: New(fmt.Sprint("r", i)), Log: slog.New(slog.DiscardHandler),
			Leads: func() bool { return w.leader == i }, Watches: func() bool { return w.replicas[i].watching },
		})
		s.journal = w.journal
		w.replicas = append(w.replicas, &modelReplica{Stream: s})
	}
	return w
}

// step is one thing that may happen. Its function reports whether it can now.
type step struct {
	name string
	do   func(w *world) bool
}

func (w *world) stateAt(version int) *pull.Job {
	c := w.history[version-1]
	return &pull.Job{ID: c.id, Phase: c.phase, Message: fmt.Sprint("version ", version), Revision: pull.Revision{Cluster: uint64(version)}}
}

// exists reports whether the cluster has the Job of a pull, and the version of its last state.
func (w *world) exists(id string) (exists bool, last int) {
	for i, c := range w.history {
		switch {
		case c.id != id:
		case c.gone:
			exists = false
		default:
			exists, last = true, i+1
		}
	}
	return exists, last
}

// happen lets the next change happen in the cluster.
var happen = step{"change", func(w *world) bool {
	if len(w.script) == 0 {
		return false
	}
	w.history, w.script = append(w.history, w.script[0]), w.script[1:]
	return true
}}

// watch begins a watch, with a list, where a replica needs one.
func watch(i int) step {
	return step{fmt.Sprintf("r%d watches", i), func(w *world) bool {
		r := w.replicas[i]
		if r.watching || (r.Live() && w.leader != i) {
			return false
		}
		r.watching, r.seen = true, len(w.history)
		listed := map[string]bool{}
		for _, c := range w.history {
			if exists, last := w.exists(c.id); exists && !listed[c.id] {
				listed[c.id] = true
				r.Publish(w.stateAt(last))
			}
		}
		for _, known := range r.Pulls() {
			if !listed[known.ID] && known.Revision.Cluster <= uint64(len(w.history)) {
				w.end(r, known.ID)
			}
		}
		r.Complete()
		r.Mark(uint64(r.seen), uint64(r.seen))
		return true
	}}
}

// end tells how a pull ended whose Job is gone.
func (w *world) end(r *modelReplica, id string) {
	if _, last := w.exists(id); last > 0 && w.history[last-1].phase.Final() {
		r.Publish(w.stateAt(last))
	} else if known := r.Latest(id); known != nil {
		r.Publish(pull.LostJob(known, time.Unix(0, 0)))
	}
	r.Retire(id)
}

// see hands one change to a replica that watches.
func see(i int) step {
	return step{fmt.Sprintf("r%d sees", i), func(w *world) bool {
		r := w.replicas[i]
		if !r.watching || r.seen == len(w.history) {
			return false
		}
		r.seen++
		if c := w.history[r.seen-1]; c.gone {
			w.end(r, c.id)
		} else {
			r.Publish(w.stateAt(r.seen))
		}
		r.Mark(uint64(r.seen), uint64(r.seen))
		return true
	}}
}

// write appends what waits, and a leader's sign of life.
func write(i int) step {
	return step{fmt.Sprintf("r%d writes", i), func(w *world) bool {
		beat := w.leader == i && w.replicas[i].watching
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
		if !w.journal.ready && (!r.leads() || !r.isFilled()) {
			return false // it would wait for a leader
		}
		c, err := r.open(context.Background())
		if err == nil {
			r.at, err = r.enter(context.Background(), c)
		}
		if err != nil {
			w.fault = err.Error()
		}
		return true
	}}
}

// silence lets so much time pass that a replica no longer believes in a leader.
func silence(i int) step {
	return step{fmt.Sprintf("r%d misses the leader", i), func(w *world) bool {
		r := w.replicas[i]
		if !r.Live() {
			return false
		}
		r.mu.Lock()
		r.heard = time.Time{}
		r.mu.Unlock()
		r.judge()
		return true
	}}
}

// wait lets so much time pass that a replica tells by itself what it could not append.
func wait(i int) step {
	return step{fmt.Sprintf("r%d waits no longer", i), func(w *world) bool {
		r := w.replicas[i]
		if !r.waiting {
			return false
		}
		r.overdue()
		return true
	}}
}

// giveUp lets so much time pass that the client gets a snapshot.
var giveUp = step{"the client waits no longer", func(w *world) bool {
	c := &w.client
	if c.sub == nil {
		return false
	}
	if _, held := c.sub.hub.held[c.sub]; !held {
		return false
	}
	c.last, c.told = map[string]*pull.Job{}, map[string]bool{}
	c.sub.giveUp()
	return true
}}

// lead gives a replica the Lease.
func lead(i int) step {
	return step{fmt.Sprintf("r%d leads", i), func(w *world) bool {
		if w.leader == i {
			return false
		}
		w.leader = i
		return true
	}}
}

// visit has the client connect to a replica.
func visit(i int) step {
	return step{fmt.Sprintf("the client goes to r%d", i), func(w *world) bool {
		c, hub := &w.client, w.replicas[i].Hub
		if c.sub != nil && c.at == i {
			return false
		}
		if c.sub != nil {
			c.sub.Close()
		}
		// A place that the replica does not remember, or was told by another one alone, brings a snapshot, as documented.
		foreign := c.after.Replica != "" && c.after.Replica != hub.replica
		if foreign || c.last == nil || (c.after.Log != hub.shared && c.after.Replica == "") {
			c.last, c.told = map[string]*pull.Job{}, map[string]bool{}
		}
		sub, err := hub.Subscribe(nil, c.after)
		if err != nil {
			w.fault = err.Error()
		}
		c.at, c.sub = i, sub
		return true
	}}
}

// listen has the client take all that there is, and checks it.
func (w *world) listen() {
	c := &w.client
	for c.sub != nil && w.fault == "" {
		job, err := c.sub.Next()
		if err != nil {
			w.fault = err.Error()
		}
		if job == nil {
			return
		}
		before := c.last[job.ID]
		switch {
		case c.told[job.RevisionID()]:
			w.fault = fmt.Sprintf("%s comes again as %s", show(job), job.RevisionID())
		case before != nil && before.Phase.Final() && !job.Phase.Final():
			w.fault = fmt.Sprintf("%s comes after the last state %s", show(job), show(before))
		case before != nil && !job.Supersedes(before):
			w.fault = fmt.Sprintf("%s comes after %s", show(job), show(before))
		}
		c.last[job.ID], c.told[job.RevisionID()], c.after = job, true, job.Position
	}
}

func show(j *pull.Job) string {
	return fmt.Sprintf("%s %s (%v, %s)", j.ID, j.Phase, j.Revision, j.RevisionID())
}

// take does a step, if it is possible, and what follows from it at once.
func (w *world) take(s step) bool {
	if !s.do(w) {
		return false
	}
	for i, r := range w.replicas {
		if r.watching && r.Live() && w.leader != i {
			r.watching = false
		}
		for _, j := range r.Pulls() {
			if exists, _ := w.exists(j.ID); exists && j.Failure != nil && w.fault == "" {
				w.fault = fmt.Sprintf("r%d tells that %s is lost, and it exists", i, j.ID)
			}
		}
		for id, k := range r.latest {
			if exists, _ := w.exists(id); exists && k.job.Failure != nil && w.fault == "" {
				w.fault = fmt.Sprintf("r%d tells that %s is lost, and it exists", i, id)
			}
		}
	}
	w.listen()
	return true
}

// key tells worlds apart.
func (w *world) key() uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, len(w.history), w.leader, w.journal.log, w.journal.seq, w.journal.marks, w.journal.ready, len(w.journal.pulls))
	for _, r := range w.journal.updates {
		fmt.Fprint(h, r.kind, r.id)
		if r.job != nil {
			fmt.Fprint(h, r.job.Revision)
		}
	}
	for _, r := range w.replicas {
		fmt.Fprint(h, "|", r.at, r.watching, r.seen, r.attached, r.live, r.marked, r.alone, r.waiting, r.accepted-r.settled, r.place, r.seq, r.shared, r.jobs)
		for _, p := range []*pending{&r.pending, &r.unread} {
			for _, o := range p.all() {
				fmt.Fprint(h, o.kind, o.id)
				if o.job != nil {
					fmt.Fprint(h, o.job.Revision)
				}
			}
		}
		for _, s := range r.states() {
			fmt.Fprint(h, s.job.ID, s.job.Revision, s.job.Position, s.place, s.gone)
		}
	}
	c := &w.client
	fmt.Fprint(h, "|", c.at, c.after, len(c.told))
	if c.sub != nil {
		fmt.Fprint(h, c.sub.cursor, c.sub.start, c.sub.after, c.sub.seenBy, len(c.sub.hub.held))
	}
	for _, id := range []string{"a", "b"} {
		if j := c.last[id]; j != nil {
			fmt.Fprint(h, id, j.Revision)
		}
	}
	return h.Sum64()
}

// rest lets everything come to rest, and checks that the client and all replicas know what is true.
func (w *world) rest() {
	if w.leader < 0 {
		w.leader = 0
	}
	order := []int{w.leader}
	for i := range w.replicas {
		if i != w.leader {
			order = append(order, i)
		}
	}
	for range 4 {
		for _, i := range order {
			for _, s := range []step{watch(i), attach(i), see(i), see(i), see(i), see(i), write(i), read(i)} {
				w.take(s)
			}
		}
	}
	for i, r := range w.replicas {
		for _, c := range w.history {
			exists, last := w.exists(c.id)
			if j := r.Latest(c.id); w.fault == "" && exists && (j == nil || j.Phase != w.history[last-1].phase) {
				w.fault = fmt.Sprintf("at rest r%d knows %v of %s", i, j, c.id)
			}
		}
	}
	for _, c := range w.history {
		exists, last := w.exists(c.id)
		if w.client.sub == nil || !exists || w.fault != "" {
			continue
		}
		if j := w.client.last[c.id]; j == nil || j.Phase != w.history[last-1].phase {
			w.fault = fmt.Sprintf("at rest the client has %v of %s, which is %s", j, c.id, w.history[last-1].phase)
		}
	}
}

// explore takes all steps in all orders up to a depth and returns the shortest way to a fault, and what it is.
func explore(begin func() *world, depth int, steps ...step) (way []string, fault string, worlds int) {
	seen := map[uint64]bool{}
	ways := [][]int{{}}
	for range depth {
		var next [][]int
		for _, way := range ways {
			for n := range steps {
				w := begin()
				for _, m := range way {
					w.take(steps[m])
				}
				if !w.take(steps[n]) {
					continue
				}
				key := w.key()
				if w.fault == "" && seen[key] {
					continue
				}
				seen[key] = true
				longer := append(slices.Clone(way), n)
				if w.fault == "" {
					w.rest()
				}
				if w.fault != "" {
					var names []string
					for _, m := range longer {
						names = append(names, steps[m].name)
					}
					return names, w.fault, len(seen)
				}
				next = append(next, longer)
			}
		}
		ways = next
	}
	return nil, "", len(seen)
}

func try(t *testing.T, begin func() *world, depth int, steps ...step) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		way, fault, worlds := explore(begin, depth, steps...)
		if fault != "" {
			t.Errorf("%s\nafter: %s", fault, strings.Join(way, ", "))
		}
		t.Log(worlds, "worlds", time.Since(began))
	})
}

// run takes steps that must be possible.
func (w *world) run(steps ...step) *world {
	for _, s := range steps {
		if !w.take(s) {
			panic("not possible: " + s.name)
		}
	}
	if w.fault != "" {
		panic(w.fault)
	}
	return w
}

// While nobody leads, replicas tell by themselves what they see; then one of them leads, and another comes to the log anew.
func TestNoPullThatExistsIsToldLostInAnyOrder(t *testing.T) {
	try(t, func() *world {
		w := newWorld(3, change{id: "a", phase: pull.Pulling}, change{id: "b", phase: pull.Queued}, change{id: "b", phase: pull.Pulling})
		w.run(lead(2), watch(2), attach(2), happen, see(2), write(2), read(2), attach(0), attach(1))
		w.leader = -1
		w.replicas = w.replicas[:2] // the leader is gone
		return w.run(silence(0), silence(1), watch(0), watch(1))
	}, 7, happen, see(0), see(1), write(0), write(1), read(0), read(1), wait(0), wait(1), lead(0), lead(1), lose(1), attach(1))
}

// A leader is stopped, another one leads, and a client comes back to the first one when it goes on.
func TestAClientIsToldInOrderByAReplicaThatWasStopped(t *testing.T) {
	try(t, func() *world {
		w := newWorld(2, change{id: "a", phase: pull.Pending}, change{id: "a", phase: pull.Pulling}, change{id: "a", phase: pull.Succeeded}, change{id: "b", phase: pull.Queued})
		w.run(lead(0), watch(0), attach(0), happen, see(0), write(0), read(0), attach(1), visit(1))
		return w.run(lead(1), watch(1), happen, see(1), happen, see(1), write(1), read(1))
	}, 8, happen, see(0), see(1), write(0), read(0), write(1), read(1), wait(0), lose(0), attach(0), visit(0), visit(1), giveUp)
}
