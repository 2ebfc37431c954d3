package e2e

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// faultTable shows how the replicas fared under each fault.
type faultTable struct{ rows []*faultRow }

type faultRow struct {
	fault     string
	polled    polled
	mutations mutations
	// told of owed ends of pulls reached clients. The clients reconnected so often, and got so many revisions again.
	told, owed, reconnects, twice int
	// failover is the time until another replica led. caughtUp is the time from the end of the fault until every client knew how
	// every pull had ended; pulls still ended in that time.
	failover, caughtUp time.Duration
	// staleAfter is the time until every replica said that its lists were stale.
	staleAfter time.Duration
	// warnings is the most warnings that one replica logged.
	warnings int
}

// mutations counts mutations that were done, or that were rightly refused at once.
type mutations struct {
	good, all int
	longest   time.Duration
}

func (m *mutations) add(good bool, took time.Duration) {
	m.all++
	if good {
		m.good++
	}
	m.longest = max(m.longest, took)
}

func (t *faultTable) add(fault string) *faultRow {
	row := &faultRow{fault: fault}
	t.rows = append(t.rows, row)
	return row
}

// countFollowers notes what became of the clients of a stage.
func (r *faultRow) countFollowers(s *stage) {
	for _, f := range s.following.followers {
		owed := len(f.ids)
		if f.ids == nil {
			owed = len(s.endings)
		}
		r.owed += owed
		r.told += owed - len(f.lacking(s.endings))
		r.reconnects += f.reconnects
		r.twice += len(f.twice)
	}
}

func (t *faultTable) print(test *testing.T) {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "FAULT\tQUERIES\tBAD\tP99\tWORST\tSTALE\tFROM\tOLDEST\t"+
		"ENDS TOLD\tRECONNECTS\tTWICE\tMUTATIONS\tWORST\tFAILOVER\tCAUGHT UP\tWARNINGS\t")
	for _, r := range t.rows {
		p := r.polled
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%d\t%s\t%.1f s\t", r.fault, p.answers, len(p.bad),
			milliseconds(percentile(p.took, .99)), milliseconds(percentile(p.took, 1)), p.stale, seconds(r.staleAfter), p.oldest)
		fmt.Fprintf(table, "%d of %d\t%d\t%d\t%d of %d\t%s\t%s\t%s\t%d\t\n", r.told, r.owed, r.reconnects, r.twice,
			r.mutations.good, r.mutations.all, milliseconds(r.mutations.longest), seconds(r.failover), seconds(r.caughtUp), r.warnings)
	}
	table.Flush()
	test.Logf("three replicas under faults:\n%s", text.String())
}

// seconds returns a duration for people, - for none.
func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
