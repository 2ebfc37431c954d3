package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// figures are what was measured with one number of pulls.
type figures struct {
	pulls       int
	lists, http []*result
	// hits is the part of the polled lists for which the server did not go to Kubernetes.
	hits float64
}

func (f *figures) all() []*result { return slices.Concat(f.lists, f.http) }

// find returns a result, nil when that was not measured.
func (f *figures) find(name string) *result {
	for _, r := range f.all() {
		if r.name == name {
			return r
		}
	}
	return nil
}

// unknown is shown for what was not measured.
const unknown = "–"

// table is a table of text, each row as long as head.
type table struct {
	head []string
	rows [][]string
}

// latencies shows everything that was measured.
func latencies(all []*figures) *table {
	t := &table{head: []string{"pulls", "active pulls", "p50", "p95", "p99", "per second", "CPU ms each", "p50 to Kubernetes'"}}
	for _, f := range all {
		kubernetes := f.find(fromKubernetes)
		for _, r := range f.all() {
			cpu := unknown
			if each, known := r.cpuEach(); known {
				cpu = digits(each.Seconds() * 1000)
			}
			t.rows = append(t.rows, []string{
				thousands(f.pulls), r.name, round(r.percentile(50)), round(r.percentile(95)), round(r.percentile(99)),
				digits(r.perSecond()), cpu, ratio(r, kubernetes),
			})
		}
	}
	return t
}

// targets shows what was to be reached.
func targets(all []*figures) *table {
	t := &table{head: []string{"target", "wanted"}}
	rows := []struct {
		name, wanted string
		measured     func(*figures) string
	}{
		{"p50 of a hit in Redis, content new to the replica, to Kubernetes'", "at most 1/5",
			func(f *figures) string { return ratio(f.find(fromRedisNew), f.find(fromKubernetes)) }},
		{"CPU of that hit, all processes, to Kubernetes'", "at most 1/5", func(f *figures) string {
			hit, known := f.find(fromRedisNew).cpuEach()
			kubernetes, kubernetesKnown := f.find(fromKubernetes).cpuEach()
			if !known || !kubernetesKnown {
				return unknown
			}
			return fraction(float64(hit) / float64(kubernetes))
		}},
		{"cached list reads a second, one reader", "10,000",
			func(f *figures) string { return digits(f.find(fromMemory).perSecond()) }},
		{"p95 of 100 clients that poll once a second", "below 10 ms",
			func(f *figures) string {
				if polled := f.find(httpPolling); polled != nil {
					return round(polled.percentile(95))
				}
				return "cannot: " + digits(f.find(httpCalls).perSecond()) + " a second at most"
			}},
		{"their lists that needed no load from Kubernetes", "above 70%, ours 99%",
			func(f *figures) string {
				if f.find(httpPolling) == nil {
					return unknown
				}
				return fmt.Sprintf("%.2f%%", 100*f.hits)
			}},
	}
	for _, f := range all {
		t.head = append(t.head, thousands(f.pulls)+" pulls")
	}
	for _, row := range rows {
		cells := []string{row.name, row.wanted}
		for _, f := range all {
			cells = append(cells, row.measured(f))
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

// print writes the table in columns.
func (t *table) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(t.head, "\t")))
	for _, row := range t.rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// markdown returns the table as Markdown has it, with all columns but the first two set to the right.
func (t *table) markdown() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	fmt.Fprintf(&b, "|---|---%s|\n", strings.Repeat("|--:", len(t.head)-2))
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// A section of a document is written by this program: what stands between two marks that have its name.
const (
	sectionBegin = "<!-- make bench writes this: %s -->"
	sectionEnd   = "<!-- to here: %s -->"
)

// replaceSection replaces a section of a file by text.
func replaceSection(file, name, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := fmt.Appendf(nil, sectionBegin, name), fmt.Appendf(nil, sectionEnd, name)
	before, rest, found := bytes.Cut(old, begin)
	_, after, foundEnd := bytes.Cut(rest, end)
	if !found || !foundEnd {
		return fmt.Errorf("%s has no place between %q and %q", file, begin, end)
	}
	return os.WriteFile(file, fmt.Appendf(nil, "%s%s\n%s%s%s", before, begin, text, end, after), 0o644)
}

// chartFile is a chart and the name of its file.
type chartFile struct{ name, svg string }

// report prints tables and, unless section is empty or there is no documentation to write, writes them to a section of it,
// with the charts beside it.
func (b *bench) report(section, where string, tables []*table, charts ...chartFile) error {
	text := "\n" + where + "\n"
	fmt.Println(where)
	for _, t := range tables {
		fmt.Println()
		if err := t.print(os.Stdout); err != nil {
			return err
		}
		text += "\n" + t.markdown()
	}
	if b.docs == "" || section == "" {
		return nil
	}
	for _, c := range charts {
		if err := os.WriteFile(filepath.Join(b.docs, c.name), []byte(c.svg), 0o644); err != nil {
			return err
		}
	}
	return replaceSection(filepath.Join(b.docs, "performance.md"), section, text+"\n")
}

// ratio returns how the middle of one result compares with that of another.
func ratio(r, to *result) string {
	if r == to {
		return "1"
	}
	return fraction(float64(r.percentile(50)) / float64(to.percentile(50)))
}

func fraction(f float64) string {
	if f < 1 {
		return "1/" + digits(1/f)
	}
	return digits(f)
}

// round returns a time with two or three digits that count.
func round(d time.Duration) string {
	switch {
	case d < time.Microsecond:
		return strconv.FormatInt(d.Nanoseconds(), 10) + " ns"
	case d < time.Millisecond:
		return digits(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second:
		return digits(float64(d)/float64(time.Millisecond)) + " ms"
	default:
		return digits(d.Seconds()) + " s"
	}
}

// digits returns a number with two digits, or as many as it has before the point.
func digits(f float64) string {
	switch {
	case f >= 9.95:
		return thousands(int(f + 0.5))
	case f >= 0.995:
		return strconv.FormatFloat(f, 'f', 1, 64)
	default:
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
}

// thousands returns a number with its thousands set apart.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
