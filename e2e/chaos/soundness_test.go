package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// These tests need no cluster: they test that the checks find what is wrong, and nothing where all is well.

// step is a state in an invented history of one pull, and the connection over which it came.
type step struct {
	connection int
	phase      string
	revision   string
	reason     string
}

func TestChecksFindWhatABrokenHistoryHolds(t *testing.T) {
	const began = 1000 // seconds
	for _, c := range []struct {
		name  string
		steps []step
		// afters has the place from which each connection went on.
		afters []string
		// end is the pull's last phase in the cluster; deleted is true if its Job is gone.
		end     string
		deleted bool
		redis   bool
		want    []string
	}{
		{
			name:  "a pull's life, over two connections",
			steps: []step{{0, "QUEUED", "log.1", ""}, {0, "PENDING", "log.2", ""}, {1, "PULLING", "log.4", ""}, {1, "SUCCEEDED", "log.9", ""}},
			end:   succeeded,
		},
		{
			name: "a snapshot for a client that gives no place", afters: []string{"", ""}, end: succeeded,
			steps: []step{{0, "SUCCEEDED", "log.1", ""}, {1, "SUCCEEDED", "log.1", ""}},
		},
		{
			name: "a snapshot after a replica published by itself", afters: []string{"", "log.1~one.5"}, end: succeeded,
			steps: []step{{0, "SUCCEEDED", "log.1~one.5", ""}, {1, "SUCCEEDED", "log.3", ""}},
		},
		{
			name: "a snapshot after Redis was away", afters: []string{"", "log.1"}, end: succeeded, redis: true,
			steps: []step{{0, "SUCCEEDED", "log.1", ""}, {1, "SUCCEEDED", "other.2", ""}},
		},
		{
			name: "the last state again", afters: []string{"", "log.1"}, end: succeeded,
			steps: []step{{0, "SUCCEEDED", "log.1", ""}, {1, "SUCCEEDED", "log.2", ""}},
			want:  []string{"a last state came again without a snapshot"},
		},
		{
			name: "a revision again", afters: []string{"", "log.1"}, end: succeeded,
			steps: []step{{0, "PULLING", "log.1", ""}, {1, "PULLING", "log.1", ""}},
			want:  []string{"a revision came again without a snapshot"},
		},
		{
			name: "the last state twice on one connection", end: failed,
			steps: []step{{0, "FAILED", "log.1", ""}, {0, "FAILED", "log.2", ""}},
			want:  []string{"a last state came twice on one connection"},
		},
		{
			name: "something behind the last state", afters: []string{"", "log.2"}, end: succeeded,
			steps: []step{{0, "SUCCEEDED", "log.2", ""}, {1, "PULLING", "log.1~one.3", ""}},
			want:  []string{"a state came behind the last one"},
		},
		{
			name: "something behind the last state, and Redis was away", afters: []string{"", "log.2"}, end: succeeded, redis: true,
			steps: []step{{0, "SUCCEEDED", "log.2", ""}, {1, "PULLING", "log.1~one.3", ""}},
			want:  []string{"a state came behind the last one, in a snapshot"},
		},
		{
			name: "back to the queue", end: succeeded,
			steps: []step{{0, "PULLING", "log.1", ""}, {0, "QUEUED", "log.2", ""}},
			want:  []string{"a pull went back to the queue"},
		},
		{
			name: "revisions backwards", end: succeeded,
			steps: []step{{0, "PENDING", "log.2", ""}, {0, "PULLING", "log.1", ""}},
			want:  []string{"revisions out of order on one connection"},
		},
		{
			name: "one revision, two states", afters: []string{"", ""}, end: succeeded,
			steps: []step{{0, "PENDING", "log.1", ""}, {1, "PULLING", "log.1", ""}},
			want:  []string{"one revision means two states"},
		},
		{
			name: "LOST, and the Job is there", end: failed,
			steps: []step{{0, "FAILED", "log.1", "LOST"}},
			want:  []string{"a living pull was told LOST"},
		},
		{
			name: "LOST, and the Job is gone", end: failed, deleted: true,
			steps: []step{{0, "FAILED", "log.1", "LOST"}},
		},
		{
			name: "another end than the cluster's", end: succeeded,
			steps: []step{{0, "FAILED", "log.1", ""}},
			want:  []string{"an end was told that is not the pull's"},
		},
		{
			name: "two ends", afters: []string{"", ""}, end: canceled,
			steps: []step{{0, "SUCCEEDED", "log.1", ""}, {1, "CANCELED", "log.2", ""}},
			want:  []string{"a pull ended in two ways", "an end was told that is not the pull's"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			pull := job{id: "pull", created: "2026-01-02T03:04:05Z", final: c.end, ended: time.Unix(began, 0)}
			if c.deleted {
				pull.gone = time.Unix(began, 0)
			}
			var v verdict
			h := histories{
				verdict: &v, counts: &counts{}, meaning: map[string]string{}, jobs: map[[2]string]job{pull.key(): pull},
				redisTrouble: func(time.Time, time.Time) bool { return c.redis },
			}
			connections := []connection{{after: ""}, {replica: 1, after: "log.1"}}
			for i, after := range c.afters {
				connections[i].after = after
			}
			var deliveries []delivery
			for i, s := range c.steps {
				raw := fmt.Sprintf(`{"id":"pull","phase":%q,"createdAt":%q,"revision":%q,"failure":{"reason":%q}}`, s.phase, pull.created, s.revision, s.reason)
				told, err := readState([]byte(raw))
				if err != nil {
					t.Fatal(err)
				}
				deliveries = append(deliveries, delivery{told, time.Unix(began+int64(i), 0), s.connection})
			}
			h.check("client", connections, deliveries)
			var got []string
			for _, found := range v.violations {
				got = append(got, found.kind)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

func TestSeedsFixTheSchedule(t *testing.T) {
	from := faultsFor(alone, nil)
	first := describe(schedule(4711, from, time.Minute))
	if again := describe(schedule(4711, from, time.Minute)); again != first {
		t.Errorf("the same seed has\n%s\nand\n%s", first, again)
	}
	if other := describe(schedule(4712, from, time.Minute)); other == first {
		t.Errorf("two seeds have\n%s", first)
	}
}
