package sharedlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
)

// memoryJournal stores a log in memory. It does what begin.lua, append.lua and destroy.lua do.
type memoryJournal struct {
	logs       int // how many were made
	name       string
	ready      bool
	seq        uint64
	horizon    uint64
	forgotten  string // when the newest forgotten pull was created, as the first part of an order key
	versions   feed.ResourceVersions
	pulls      map[string]*feed.Pull
	gone       []string
	remembered int // retired pulls
	updates    []logEntry
	last       string // the ID of the last entry
	nonce      int    // of the entries of one append
	beat       time.Time
	full       bool           // nothing can be appended
	clock      uint64         // no failover sets it back
	before     *memoryJournal // as it was before the last append
}

var errFull = errors.New("the journal is full")

func (j *memoryJournal) begin(context.Context) (string, error) {
	j.logs++
	name := fmt.Sprint("log", j.logs)
	if !j.ready {
		*j = memoryJournal{logs: j.logs, name: name, seq: uint64(j.logs) * 1_000_000, pulls: map[string]*feed.Pull{}, remembered: j.remembered}
	}
	return name, nil
}

func (j *memoryJournal) append(
	_ context.Context, name string, known tail, versions feed.ResourceVersions, complete bool, operations ...operation,
) (tail, error) {
	if j.full {
		return tail{}, errFull
	}
	if j.name != name {
		return tail{}, errNoLog
	}
	if !j.held(known) {
		return tail{}, errGap
	}
	j.before = j.copy()
	j.nonce++
	for _, o := range operations {
		switch known := j.pulls[o.Retired]; o.kind {
		case entryState:
			j.addState(o.State)
		case entryRetired:
			if known != nil && !known.Retired {
				j.add(logEntry{kind: o.kind, Entry: feed.Entry{Change: o.Change}})
				known.Retired = true
				j.gone = append(j.gone, o.Retired)
				j.forget()
			}
		default:
			j.add(logEntry{kind: o.kind, Entry: feed.Entry{ResourceVersions: versions}})
		}
	}
	if versions.Jobs >= j.versions.Jobs && versions.Jobs > 0 {
		j.versions = versions
	}
	if complete {
		j.ready = true
		j.add(logEntry{kind: entryHeartbeat, Entry: feed.Entry{ResourceVersions: versions}})
	}
	return tail{j.seq, j.last}, nil
}

// copy returns the journal as a replica of Redis would have it.
func (j *memoryJournal) copy() *memoryJournal {
	c := *j
	c.before = nil
	c.pulls = map[string]*feed.Pull{}
	for id, s := range j.pulls {
		held := *s
		c.pulls[id] = &held
	}
	c.gone, c.updates = slices.Clone(j.gone), slices.Clone(j.updates)
	return &c
}

func (j *memoryJournal) addState(state *pull.State) {
	known := j.pulls[state.ID]
	forgotten := state.OrderKey()[:12] <= j.forgotten && state.Revision.Cluster <= min(j.versions.Jobs, j.versions.Pods)
	if known == nil && forgotten || known != nil && known.State.OrderKey() >= state.OrderKey() {
		return
	}
	stored := *state
	stored.Position = pull.Position{}
	offset := j.add(logEntry{kind: entryState, Entry: feed.Entry{Change: feed.Change{State: &stored}}})
	j.pulls[state.ID] = &feed.Pull{State: &stored, Offset: offset}
}

func (j *memoryJournal) add(r logEntry) uint64 {
	j.clock = max(j.clock, j.seq) + 1
	j.seq = j.clock
	r.Offset, r.id, r.previous = j.seq, fmt.Sprintf("%d-%d", j.seq, j.nonce), j.last
	j.last = r.id
	j.updates = append(j.updates, r)
	if r.kind == entryHeartbeat {
		j.beat = time.Now()
	}
	return j.seq
}

func (j *memoryJournal) forget() {
	for len(j.gone) > j.remembered {
		oldest := j.pulls[j.gone[0]]
		j.horizon, j.forgotten = max(j.horizon, oldest.Offset), max(j.forgotten, oldest.State.OrderKey()[:12])
		delete(j.pulls, j.gone[0])
		j.gone = j.gone[1:]
	}
}

func (j *memoryJournal) load(context.Context) (*contents, error) {
	if !j.ready {
		return nil, errNoLog
	}
	c := &contents{lastID: j.last, silence: time.Since(j.beat)}
	c.Log, c.Offset, c.Horizon, c.ResourceVersions = j.name, j.seq, j.horizon, j.versions
	for _, s := range j.pulls {
		c.Pulls = append(c.Pulls, *s)
	}
	slices.SortFunc(c.Pulls, func(a, b feed.Pull) int { return cmp.Compare(a.Offset, b.Offset) })
	return c, nil
}

// read returns the entries after an ID. It does not wait.
func (j *memoryJournal) read(_ context.Context, _, after string) ([]logEntry, error) {
	number := func(id string) (offset uint64, nonce int) {
		_, _ = fmt.Sscanf(id, "%d-%d", &offset, &nonce) // the IDs are our own
		return offset, nonce
	}
	afterOffset, afterNonce := number(after)
	var entries []logEntry
	for _, r := range j.updates {
		if offset, nonce := number(r.id); offset > afterOffset || (offset == afterOffset && nonce > afterNonce) {
			entries = append(entries, r)
		}
	}
	return entries, nil
}

func (j *memoryJournal) holds(_ context.Context, known tail) (name string, held bool, err error) {
	if j.name == "" {
		return "", false, errNoLog
	}
	return j.name, j.held(known), nil
}

func (j *memoryJournal) held(known tail) bool {
	dropped := len(j.updates) == 0 || j.updates[0].Offset > known.offset
	return known.offset <= j.seq && (dropped || slices.ContainsFunc(j.updates, func(r logEntry) bool { return r.id == known.id }))
}

func (j *memoryJournal) destroy(_ context.Context, name string) error {
	if j.name == name {
		*j = memoryJournal{logs: j.logs, remembered: j.remembered}
	}
	return nil
}

func (j *memoryJournal) close() {}
