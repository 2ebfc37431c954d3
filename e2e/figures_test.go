package e2e

import (
	"fmt"
	"io"
	"sync"
	"testing"
	"text/tabwriter"
)

// figures collects what the tests have measured, to be shown when all have ended. No test fails for a figure.
var figures figureTable

type figureTable struct {
	mu   sync.Mutex
	rows []figure
}

type figure struct{ test, what, value string }

func (f *figureTable) add(t *testing.T, what, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, figure{t.Name(), what, fmt.Sprintf(format, args...)})
}

func (f *figureTable) print(out io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rows) == 0 {
		return
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nTEST\tFIGURE\tVALUE")
	for _, row := range f.rows {
		fmt.Fprintf(table, "%s\t%s\t%s\n", row.test, row.what, row.value)
	}
	table.Flush()
}
