package pull

import (
	"strconv"
	"strings"

	"pullwatch/internal/usererr"
)

// Position is a place in the order in which the states of all pulls were published. All replicas agree on Log and Seq, the
// place in the shared log. A replica that cannot reach the shared log, or has none, publishes by itself. Then Replica and Local
// count on from there. Jobs and Pods say how far in the cluster another replica must be to know as much. The zero Position is
// no place.
type Position struct {
	// Log names the shared log; it is empty without one. Seq is the offset in it: it grows with each state, by any number.
	Log string
	Seq uint64
	// Replica names the replica that published by itself; it is empty for what the shared log holds. Local grows with each
	// state that the replica takes.
	Replica string
	Local   uint64
	// Jobs and Pods are the highest resourceVersions in what the replica published by itself.
	Jobs, Pods uint64
}

// String returns the position as clients see it: log.seq, ~replica.local.jobs.pods, or both.
func (p Position) String() string {
	var text string
	if p.Log != "" {
		text = p.Log + "." + strconv.FormatUint(p.Seq, 36)
	}
	if p.Replica != "" {
		text += "~" + p.Replica
		for _, n := range [...]uint64{p.Local, p.Jobs, p.Pods} {
			text += "." + strconv.FormatUint(n, 36)
		}
	}
	return text
}

// ParsePosition reads what State.RevisionID returned, now or in a version without Jobs and Pods. It returns the zero Position for
// a state that was not published. An error is a usererr.BadInput.
func ParsePosition(text string) (Position, error) {
	var p Position
	shared, local, published := strings.Cut(text, "~")
	ok := true
	switch {
	case strings.Contains(text, "-"):
		for number := range strings.SplitSeq(text, "-") {
			_, err := strconv.ParseUint(number, 36, 64)
			ok = ok && err == nil
		}
	case shared != "" || !published:
		p.Log, ok = parsePart(shared, &p.Seq)
	}
	if published && ok {
		numbers := []*uint64{&p.Local, &p.Jobs, &p.Pods}
		if strings.Count(local, ".") == 1 {
			numbers = numbers[:1]
		}
		p.Replica, ok = parsePart(local, numbers...)
	}
	if !ok {
		return Position{}, usererr.New(usererr.BadInput, "%q is no revision; give the revision of an update as it came", Truncate(text, 100))
	}
	return p, nil
}

// parsePart reads a name, and after it numbers in base 36.
func parsePart(text string, numbers ...*uint64) (name string, ok bool) {
	name, rest, _ := strings.Cut(text, ".")
	const longest = 32
	if name == "" || len(name) > longest || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return "", false
	}
	digits := strings.Split(rest, ".")
	if len(digits) != len(numbers) {
		return "", false
	}
	for i, n := range numbers {
		var err error
		if *n, err = strconv.ParseUint(digits[i], 36, 64); err != nil {
			return "", false
		}
	}
	return name, true
}
