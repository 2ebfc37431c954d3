package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"gonum.org/v1/plot"
)

// findings are what a section of the document shows.
type findings struct {
	kubernetes string // its version, if it had a part
	goals      table.Writer
	tables     []table.Writer
	charts     map[string]*plot.Plot // by the name of their files
}

// newTable returns a table. It aligns all columns but the first two to the right.
func newTable(head ...any) table.Writer {
	t := table.NewWriter()
	t.AppendHeader(head)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	var columns []table.ColumnConfig
	for i := range head[2:] {
		columns = append(columns, table.ColumnConfig{Number: i + 3, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

// table adds a table, and returns what adds a row to it.
func (f *findings) table(head ...any) (row func(cells ...any)) {
	t := newTable(head...)
	f.tables = append(f.tables, t)
	return func(cells ...any) { t.AppendRow(cells) }
}

// known is wanted where there is nothing to reach.
const known = "known"

// goal adds a wanted figure, and those that pullwatch and others have reached.
func (f *findings) goal(what, wanted, ours, other string, met bool) {
	reached := "yes"
	switch {
	case wanted == known:
		reached = unknown
	case !met:
		reached = "**no**"
	}
	f.goals.AppendRow(table.Row{what, wanted, ours, other, reached})
}

// report prints the findings, and writes them to the section of the document if that is wanted.
func (b *bench) report(section string, f *findings, write bool) (err error) {
	where := fmt.Sprintf("%d cores of %s, %s", runtime.NumCPU(), runtime.GOARCH, runtime.Version())
	if f.kubernetes != "" {
		where += ", Kubernetes " + f.kubernetes
	}
	markdown := "\n" + where + ".\n"
	for _, t := range append([]table.Writer{f.goals}, f.tables...) {
		fmt.Println(t.Render())
		markdown += "\n" + t.RenderMarkdown() + "\n"
	}
	if !write {
		return nil
	}
	for file, p := range f.charts {
		err = errors.Join(err, saveChart(p, filepath.Join(b.Docs, file)))
	}
	return errors.Join(err, replaceSection(filepath.Join(b.Docs, "performance.md"), section, markdown+"\n"))
}

// This program writes what stands between two marks with the name of a section.
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

// unknown is shown for what was not measured.
const unknown = "–"

// digits returns a number with two digits, or as many as it has before the point.
func digits(f float64) string {
	switch {
	case math.IsNaN(f):
		return unknown
	case f >= 9.95:
		return thousands(int(f + 0.5))
	case f >= 0.995:
		return strconv.FormatFloat(f, 'f', 1, 64)
	default:
		return strconv.FormatFloat(f, 'g', 2, 64)
	}
}

// round returns a time with as many digits.
func round(d time.Duration) string {
	value, prefix := humanize.ComputeSI(d.Seconds())
	return digits(value) + " " + prefix + "s"
}

func thousands(n int) string { return humanize.Comma(int64(n)) }

func percent(part float64) string { return digits(100*part) + "%" }

func hundredths(f float64) string {
	if math.IsNaN(f) {
		return unknown
	}
	return strconv.FormatFloat(f, 'f', 2, 64)
}

func size(bytes float64) string { return humanize.SIWithDigits(bytes, 1, "B") }

// fraction returns a number below 1 as one over another.
func fraction(f float64) string {
	switch {
	case f == 1:
		return "1"
	case f < 1:
		return "1/" + digits(1/f)
	default:
		return digits(f)
	}
}
