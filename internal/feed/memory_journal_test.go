package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pullwatch/internal/pull"
)

// memoryJournal is a shared log in memory. It does what begin.lua, append.lua and destroy.lua do.
type memoryJournal struct {
	logs       int
	log        string
	ready      bool
	seq        uint64
	clock      uint64 // no failover sets it back
	horizon    uint64
	forgotten  string // when the newest of the forgotten pulls was created, as order keys begin
	marks      marks
	pulls      map[string]*state
	gone       []string
	remembered int // retired pulls
	updates    []record
	last       string // the name of the last entry
	nonce      int    // of the entries of one append
	beat       time.Time
	full       bool           // nothing can be appended
	before     *memoryJournal // as it was before the last append; nil when nothing is to be kept of that
}

var errFull = errors.New("the journal is full")

func (j *memoryJournal) begin(context.Context) (string, error) {
	j.logs++
	name := fmt.Sprint("log", j.logs)
	if !j.ready {
		*j = memoryJournal{logs: j.logs, log: name, seq: uint64(j.logs) * 1_000_000, pulls: map[string]*state{}, remembered: j.remembered}
	}
	return name, nil
}

func (j *memoryJournal) append(
	_ context.Context, log string, behind end, marked marks, complete bool, operations ...operation,
) (end, error) {
	if j.full {
		return end{}, errFull
	}
	if j.log != log {
		return end{}, errNoLog
	}
	if !j.held(behind) {
		return end{}, errGap
	}
	j.before = j.copy()
	j.nonce++
	for _, o := range operations {
		switch known := j.pulls[o.id]; o.kind {
		case entryState:
			j.addState(o.job)
		case entryGone:
			if known != nil && !known.gone {
				j.add(record{kind: o.kind, id: o.id})
				known.gone = true
				j.gone = append(j.gone, o.id)
				j.forget()
			}
		default:
			j.add(record{kind: o.kind, marks: marked})
		}
	}
	if marked.jobs >= j.marks.jobs && marked.jobs > 0 {
		j.marks = marked
	}
	if complete {
		j.ready = true
		j.add(record{kind: entryBeat, marks: marked})
	}
	return end{j.seq, j.last}, nil
}

// copy returns what a replica of Redis has.
func (j *memoryJournal) copy() *memoryJournal {
	c := *j
	c.before = nil
	c.pulls = map[string]*state{}
	for id, s := range j.pulls {
		held := *s
		c.pulls[id] = &held
	}
	c.gone, c.updates = slices.Clone(j.gone), slices.Clone(j.updates)
	return &c
}

func (j *memoryJournal) addState(job *pull.Job) {
	known := j.pulls[job.ID]
	forgotten := job.OrderKey()[:12] <= j.forgotten && job.Revision.Cluster <= min(j.marks.jobs, j.marks.pods)
	if known == nil && forgotten || known != nil && known.job.OrderKey() >= job.OrderKey() {
		return
	}
	stored := *job
	stored.Position = pull.Position{}
	place := j.add(record{kind: entryState, id: job.ID, job: &stored})
	j.pulls[job.ID] = &state{job: &stored, place: place}
}

func (j *memoryJournal) add(r record) uint64 {
	j.clock = max(j.clock, j.seq) + 1
	j.seq = j.clock
	r.place, r.entry, r.after = j.seq, fmt.Sprintf("%d-%d", j.seq, j.nonce), j.last
	j.last = r.entry
	j.updates = append(j.updates, r)
	if r.kind == entryBeat {
		j.beat = time.Now()
	}
	return j.seq
}

func (j *memoryJournal) forget() {
	for len(j.gone) > j.remembered {
		oldest := j.pulls[j.gone[0]]
		j.horizon, j.forgotten = max(j.horizon, oldest.place), max(j.forgotten, oldest.job.OrderKey()[:12])
		delete(j.pulls, j.gone[0])
		j.gone = j.gone[1:]
	}
}

func (j *memoryJournal) load(context.Context) (*contents, error) {
	if !j.ready {
		return nil, errNoLog
	}
	c := &contents{log: j.log, place: j.seq, entry: j.last, horizon: j.horizon, marks: j.marks, silence: time.Since(j.beat)}
	for _, s := range j.pulls {
		c.states = append(c.states, *s)
	}
	slices.SortFunc(c.states, func(a, b state) int { return cmp.Compare(a.place, b.place) })
	return c, nil
}

// read returns the entries behind one, and waits for none.
func (j *memoryJournal) read(_ context.Context, _, behind string) ([]record, error) {
	number := func(entry string) (place uint64, nonce int) {
		_, _ = fmt.Sscanf(entry, "%d-%d", &place, &nonce) // the names are our own
		return place, nonce
	}
	afterPlace, afterNonce := number(behind)
	var records []record
	for _, r := range j.updates {
		if place, nonce := number(r.entry); place > afterPlace || (place == afterPlace && nonce > afterNonce) {
			records = append(records, r)
		}
	}
	return records, nil
}

func (j *memoryJournal) holds(_ context.Context, known end) (log string, held bool, err error) {
	if j.log == "" {
		return "", false, errNoLog
	}
	return j.log, j.held(known), nil
}

func (j *memoryJournal) held(known end) bool {
	dropped := len(j.updates) == 0 || j.updates[0].place > known.place
	return known.place <= j.seq && (dropped || slices.ContainsFunc(j.updates, func(r record) bool { return r.entry == known.entry }))
}

func (j *memoryJournal) destroy(_ context.Context, log string) error {
	if j.log == log {
		*j = memoryJournal{logs: j.logs, remembered: j.remembered}
	}
	return nil
}

func (j *memoryJournal) close() {}
