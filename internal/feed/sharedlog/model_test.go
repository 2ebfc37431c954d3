package sharedlog

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"reflect"
	"time"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// world is a small cluster with replicas, whose Hubs and Streams are the real ones. The test chooses what happens when, step by
// step. Every replica has a watch, which is a few lines here. A client goes from one replica to the other.
type world struct {
	journal  *memoryJournal
	script   []change // what is still to happen in the cluster
	history  []change
	replicas []*modelReplica
	leader   int
	restarts int
	client   modelClient
	fault    string
}

// change is a new phase of a pull, or that its Job is gone. The resourceVersion of the nth change is n.
type change struct {
	id    string
	phase pull.Phase
	gone  bool
}

type modelReplica struct {
	*Stream
	name     string
	at       *reading // nil while there is no session
	leads    bool     // as far as it knows
	watching bool
	seen     int // how much of the history its watch has delivered
}

// modelClient follows all pulls and remembers what it got.
type modelClient struct {
	at        int // the replica
	sub       *feed.Subscription
	after     pull.Position
	last      map[string]*pull.State
	delivered map[string]bool // by revision
	// placed is true once the replica has compared its knowledge with what the client has.
	placed bool
	// snapshot holds the pulls whose next state may be one that the client has got already; where it is true, also an older one.
	snapshot map[string]bool
	strict   bool // nothing may come again, not even what the documentation allows
}

// expectSnapshot allows every state to come again, as it was or older.
func (c *modelClient) expectSnapshot(older bool) {
	c.delivered = map[string]bool{}
	for id := range c.last {
		c.snapshot[id] = older
	}
}

func newWorld(replicas int, script ...change) *world {
	w := &world{journal: &memoryJournal{remembered: feed.MaxRetired}, script: script, leader: -1}
	w.client = modelClient{last: map[string]*pull.State{}, delivered: map[string]bool{}, snapshot: map[string]bool{}}
	for i := range replicas {
		w.replicas = append(w.replicas, w.newReplica(i, fmt.Sprint("r", i)))
	}
	return w
}

func (w *world) newReplica(i int, name string) *modelReplica {
	s := New(Options{
		Hub: feed.New(name), Logger: slog.New(slog.DiscardHandler),
		Leads: func() bool { return w.replicas[i].leads }, Watches: func() bool { return w.replicas[i].watching },
		Proven: time.Now,
	})
	s.journal = w.journal
	return &modelReplica{Stream: s, name: name}
}

func (w *world) stateAt(version int) *pull.State {
	c := w.history[version-1]
	return &pull.State{ID: c.id, Phase: c.phase, Message: fmt.Sprint("version ", version), Revision: pull.Revision{Cluster: uint64(version)}}
}

// exists reports whether the cluster has the Job of a pull, and the version of its last state.
func (w *world) exists(id string) (exists bool, last int) { return w.existed(id, len(w.history)) }

// existed reports the same of an earlier resourceVersion.
func (w *world) existed(id string, version int) (exists bool, last int) {
	for i, c := range w.history[:version] {
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

// held reports whether the client waits for its replica to catch up.
func (w *world) held() bool {
	c := &w.client
	if c.sub == nil {
		return false
	}
	hub := w.replicas[c.at].hub
	waits := private(hub, "waiting").MapIndex(reflect.ValueOf(c.sub)).IsValid()
	hub.LogOffset() // the Hub's lock orders this before what its timers do
	return waits
}

// private returns a private field of a Hub or of a Subscription: worlds differ in more than these show to anybody.
func private(of any, name string) reflect.Value {
	field := reflect.ValueOf(of).Elem().FieldByName(name)
	if !field.IsValid() {
		panic("there is no field " + name)
	}
	return field
}

// listen has the client take everything that is ready, and checks it.
func (w *world) listen() {
	c := &w.client
	if c.sub == nil {
		return
	}
	if r := w.replicas[c.at]; !w.held() && !c.placed {
		c.placed = true
		// As documented, a snapshot follows a position that the replica does not remember, that another one published by itself, or
		// that it gave before it had read the log.
		foreign := c.after.Replica != "" && c.after.Replica != r.name
		forgotten := private(c.sub, "seenBy").IsZero()
		_, offset := r.hub.LogOffset()
		early := c.after.Replica == r.name && c.after.Log == "" && offset > 0
		if (foreign || forgotten || early) && !c.strict {
			c.expectSnapshot(r.hub.Behind(c.after))
		}
	}
	for w.fault == "" {
		state, err := c.sub.Next()
		if err != nil {
			w.fault = err.Error()
		}
		if state == nil {
			return
		}
		before := c.last[state.ID]
		older, again := c.snapshot[state.ID]
		delete(c.snapshot, state.ID)
		switch {
		case older, again && !before.Supersedes(state):
		case c.delivered[state.RevisionID()]:
			w.fault = fmt.Sprintf("%s comes again as %s", show(state), state.RevisionID())
		case before != nil && before.Phase.Final() && !state.Phase.Final():
			w.fault = fmt.Sprintf("%s comes after the last state %s", show(state), show(before))
		case before != nil && !state.Supersedes(before):
			w.fault = fmt.Sprintf("%s comes after %s", show(state), show(before))
		}
		c.last[state.ID], c.delivered[state.RevisionID()], c.after = state, true, state.Position
	}
}

func show(state *pull.State) string {
	return fmt.Sprintf("%s %s (%v, %s)", state.ID, state.Phase, state.Revision, state.RevisionID())
}

// take does a step if it is possible, and what follows from it at once.
func (w *world) take(s step) bool {
	if !s.do(w) {
		return false
	}
	for i, r := range w.replicas {
		r.watching = r.watching && (r.leads || !r.Live())
		for _, s := range r.hub.KnownPulls() {
			if exists, _ := w.exists(s.State.ID); exists && s.State.Failure != nil && w.fault == "" {
				w.fault = fmt.Sprintf("r%d reports %s lost, and it exists", i, s.State.ID)
			}
		}
	}
	w.checkVersions()
	w.listen()
	return true
}

// checkVersions finds changes that the log lacks although its resourceVersions cover them.
func (w *world) checkVersions() {
	for i, c := range w.history {
		covered := uint64(i) < w.journal.versions.Jobs
		if exists, _ := w.exists(c.id); !covered || c.gone || !exists || w.fault != "" {
			continue
		}
		if s := w.journal.pulls[c.id]; s == nil || s.State.Revision.Cluster <= uint64(i) {
			w.fault = fmt.Sprintf("the log covers %v, and the log holds no version %d of %s", w.journal.versions, i+1, c.id)
		}
	}
}

// close ends all timers.
func (w *world) close() {
	for _, r := range w.replicas {
		r.stopTimer()
	}
	if w.client.sub != nil {
		w.client.sub.Close()
	}
}

// key is the same for worlds that go on alike.
func (w *world) key() uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, len(w.history), w.leader, w.restarts, w.journal.name, w.journal.seq, w.journal.versions, w.journal.ready, len(w.journal.pulls), w.journal.before != nil)
	for _, r := range w.journal.updates {
		fmt.Fprint(h, r.kind, r.Retired)
		if r.State != nil {
			fmt.Fprint(h, r.State.ID, r.State.Revision)
		}
	}
	for _, r := range w.replicas {
		fmt.Fprint(h, "|", r.at, r.leads, r.watching, r.seen, r.attached, r.live, r.Stream.versions, r.bypassing, r.timing, r.accepted-r.appended)
		for _, field := range []string{"logOffset", "seq", "logName", "versions", "knownSince", "watchedVersions", "gap", "unloggedVersions"} {
			fmt.Fprint(h, private(r.hub, field))
		}
		for _, p := range []*pending{&r.pending, &r.unread} {
			for _, o := range p.all() {
				fmt.Fprint(h, o.Retired)
				if o.State != nil {
					fmt.Fprint(h, o.State.ID, o.State.Revision)
				}
			}
		}
		for _, s := range r.hub.KnownPulls() {
			fmt.Fprint(h, s.State.ID, s.State.Revision, s.State.Position, s.Offset, s.Retired)
		}
	}
	c := &w.client
	fmt.Fprint(h, "|", c.at, c.after, len(c.delivered))
	if c.sub != nil {
		for _, field := range []string{"delivered", "start", "after", "seenBy"} {
			fmt.Fprint(h, private(c.sub, field))
		}
		fmt.Fprint(h, w.held())
	}
	for _, id := range []string{"a", "b"} {
		if state := c.last[id]; state != nil {
			fmt.Fprint(h, id, state.Revision, c.snapshot[id])
		}
	}
	return h.Sum64()
}

// rest lets everything come to rest. Then it checks that the client and all replicas know the cluster as it is.
func (w *world) rest() {
	if w.leader < 0 {
		w.take(lead(0))
	}
	order := []int{w.leader}
	for i := range w.replicas {
		if i != w.leader {
			w.take(yield(i))
			order = append(order, i)
		}
	}
	for range 8 {
		for _, i := range order {
			for _, s := range []step{watch(i), attach(i), see(i), see(i), see(i), see(i), write(i), read(i)} {
				w.take(s)
			}
		}
	}
	for i, r := range w.replicas {
		for _, known := range r.Pulls() {
			if exists, _ := w.exists(known.ID); !exists && w.fault == "" {
				w.fault = fmt.Sprintf("at rest r%d lists %v, which is gone", i, known)
			}
		}
		for _, c := range w.history {
			exists, last := w.exists(c.id)
			if state := r.Latest(c.id); w.fault == "" && exists && (state == nil || state.Phase != w.history[last-1].phase) {
				w.fault = fmt.Sprintf("at rest r%d knows %v of %s", i, state, c.id)
			}
		}
	}
	for _, c := range w.history {
		exists, last := w.exists(c.id)
		if w.client.sub == nil || w.fault != "" {
			continue
		}
		state := w.client.last[c.id]
		switch {
		case exists && (state == nil || state.Phase != w.history[last-1].phase):
			w.fault = fmt.Sprintf("at rest the client has %v of %s, which is %s", state, c.id, w.history[last-1].phase)
		case !exists && state != nil && !state.Phase.Final():
			w.fault = fmt.Sprintf("at rest the client waits for the end of %s, which is gone", c.id)
		}
	}
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
