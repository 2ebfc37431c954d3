package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"pullwatch/internal/pull"
)

// histories compares the states that subscribers got with each other and with the truth.
type histories struct {
	verdict *verdict
	counts  *counts
	// redisTrouble reports whether a replica may have lost its place between two moments.
	redisTrouble func(from, to time.Time) bool
	// jobs has the Job of each pull.
	jobs map[[2]string]job
	// meaning has the state of each revision, over all subscribers.
	meaning map[string]string
}

// told is what a subscriber knows of a pull.
type told struct {
	last delivery
	end  *delivery
}

// lostSlack is how much earlier than this test a replica may learn that a Job is gone.
const lostSlack = 2 * time.Second

// check goes through all states that one subscriber got.
func (h *histories) check(name string, connections []connection, deliveries []delivery) {
	pulls := map[[2]string]*told{}
	revisions := map[string]delivery{}
	places := map[int]pull.Position{}
	for _, d := range deliveries {
		complain := func(kind, format string, args ...any) {
			h.verdict.add(violation{kind: kind, client: name, id: d.ID, text: fmt.Sprintf(format, args...)})
		}
		if other, known := h.meaning[d.Revision]; known && other != d.raw {
			complain("one revision means two states", "%s: %s", d.Revision, difference(other, d.raw))
		}
		h.meaning[d.Revision] = d.raw
		place, err := pull.ParsePosition(d.Revision)
		if err != nil {
			complain("a revision cannot be read", "%v", err)
		}
		if before := places[d.connection]; !follows(before, place) {
			complain("revisions out of order on one connection", "%s after %s", d.Revision, before)
		}
		places[d.connection] = place
		h.repeated(complain, connections, revisions[d.Revision], d)
		revisions[d.Revision] = d
		if pulls[d.key()] == nil {
			pulls[d.key()] = &told{}
		}
		h.next(complain, connections, pulls[d.key()], d)
		h.true(complain, d)
	}
}

// follows reports whether a place may come after another one on one connection.
func follows(before, after pull.Position) bool {
	switch {
	case before.Replica != "" && before.Replica == after.Replica:
		return after.Local > before.Local
	case before.Log != "" && before.Log == after.Log && before.Replica == "" && after.Replica == "":
		return after.Seq > before.Seq
	}
	return true
}

// repeated checks that a revision comes once, except in a snapshot.
func (h *histories) repeated(complain complainer, connections []connection, before, d delivery) {
	switch {
	case before.Revision == "":
	case before.connection == d.connection:
		complain("a revision came twice on one connection", "%s", d.Revision)
	case h.snapshot(connections[d.connection], before, d):
		h.counts.add("revisions again, in a snapshot", 1)
	default:
		complain("a revision came again without a snapshot", "%s, connections %d and %d", d.Revision, before.connection, d.connection)
	}
}

type complainer func(kind, format string, args ...any)

// snapshot reports whether a state may come again, as docs/clients.md says: to a client that gave no place, or one that is no
// longer known. Such is a place at which a replica published by itself, or one of a Redis that was away.
func (h *histories) snapshot(c connection, before, d delivery) bool {
	place, err := pull.ParsePosition(c.after)
	return c.after == "" || err == nil && place.Replica != "" || h.redisTrouble(before.at, d.at)
}

// next checks the order of a pull's states.
func (h *histories) next(complain complainer, connections []connection, t *told, d delivery) {
	last, first := t.last, t.last.Revision == ""
	t.last = d
	where := ""
	if !first && last.connection != d.connection && h.snapshot(connections[d.connection], last, d) {
		where = ", in a snapshot"
	}
	switch {
	case first:
	case isFinal(last.Phase) && !isFinal(d.Phase):
		complain("a state came behind the last one"+where, "%s %s after %s %s", d.Phase, d.Revision, last.Phase, last.Revision)
	case isFinal(d.Phase):
	case last.Phase != string(pull.Queued) && d.Phase == string(pull.Queued):
		complain("a pull went back to the queue"+where, "%s %s after %s %s", d.Phase, d.Revision, last.Phase, last.Revision)
	case d.Attempts < last.Attempts:
		complain("attempts fell"+where, "%d %s after %d %s", d.Attempts, d.Revision, last.Attempts, last.Revision)
	}
	if !isFinal(d.Phase) {
		return
	}
	end := t.end
	if end == nil {
		t.end = &d
		return
	}
	switch {
	case end.Phase != d.Phase:
		complain("a pull ended in two ways", "%s %s and %s %s", end.Phase, end.Revision, d.Phase, d.Revision)
	case withoutPlace(end.raw) != withoutPlace(d.raw):
		complain("a last state changed", "%s in %s and %s", difference(end.raw, d.raw), end.Revision, d.Revision)
	}
	switch {
	case end.connection == d.connection:
		complain("a last state came twice on one connection", "%s and %s", end.Revision, d.Revision)
	case h.snapshot(connections[d.connection], *end, d):
		h.counts.add("last states again, in a snapshot", 1)
	case end.Revision != d.Revision: // the same revision has been complained of
		complain("a last state came again without a snapshot", "%s on connection %d and %s on %d", end.Revision, end.connection, d.Revision, d.connection)
	}
}

// true checks a state against the cluster.
func (h *histories) true(complain complainer, d delivery) {
	j, known := h.jobs[d.key()]
	switch {
	case !known:
		complain("a pull was told that the cluster never had", "%s", d.raw)
	case d.lost() && (j.gone.IsZero() || j.gone.After(d.at.Add(lostSlack))):
		complain("a living pull was told LOST", "%s", d.Revision)
	case isFinal(d.Phase) && d.Phase != j.final:
		complain("an end was told that is not the pull's", "%s, in the cluster it is %q", d.Phase, j.final)
	}
}

var revisionField = regexp.MustCompile(`"revision":"[^"]*"`)

// withoutPlace returns a state without its place in the order of updates, which is not the same on all replicas.
func withoutPlace(raw string) string { return revisionField.ReplaceAllString(raw, `"revision":""`) }

// difference returns the fields in which two states differ.
func difference(a, b string) string {
	var one, other map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal([]byte(a), &one), json.Unmarshal([]byte(b), &other)); err != nil {
		return err.Error()
	}
	var fields []string
	for _, field := range slices.Sorted(maps.Keys(one)) {
		if field != "revision" && !bytes.Equal(one[field], other[field]) {
			fields = append(fields, fmt.Sprintf("%s is %s and %s", field, one[field], other[field]))
		}
	}
	return strings.Join(fields, ", ")
}
