package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// findings are what one part of the measurements has come to.
type findings struct {
	targets [][]string
	table   *table
	chart   *chartFile
}

// known is wanted where there is nothing to reach.
const known = "known"

// add adds what was to be reached, and what pullwatch and plain gqlgen have reached.
func (f *findings) add(what, wanted, ours, plain string, met bool) {
	answer := "yes"
	switch {
	case wanted == known:
		answer = unknown
	case !met:
		answer = "**no**"
	}
	f.targets = append(f.targets, []string{what, wanted, ours, plain, answer})
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func percent(part float64) string { return digits(100*part) + "%" }

func fine(part float64) string { return strconv.FormatFloat(100*part, 'f', 1, 64) + "%" }

func ratioOf(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func kilobytes(bytes float64) string { return strconv.FormatFloat(bytes/1000, 'f', 1, 64) + " KB" }

// cpuOfEach returns the CPU time of each of n messages of an answer, in microseconds.
func cpuOfEach(r *result, n int) string {
	if _, known := r.cpuEach(); !known {
		return unknown
	}
	return digits(1e6 * perAnswer(r) / float64(n))
}

// measureServing measures the parts of serving GraphQL that are wanted, and reports. What is not all of them is not written to
// the documentation.
func (b *bench) measureServing(ctx context.Context, wanted []string) error {
	section := "serving"
	parts := slices.Clone(servingParts)
	parts = slices.DeleteFunc(parts, func(p servingPart) bool { return !slices.Contains(wanted, p.name) })
	switch len(parts) {
	case 0:
		return nil
	case len(servingParts):
	default:
		section = ""
	}
	goals := &table{head: []string{"what", "wanted", "pullwatch", "plain gqlgen", "reached"}}
	tables := []*table{goals}
	var charts []chartFile
	began := time.Now()
	for _, p := range parts {
		fmt.Fprintf(os.Stderr, "serving GraphQL, after %.0f s: %s\n", time.Since(began).Seconds(), p.name)
		b.part = p.name
		f, err := p.measure(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		goals.rows = append(goals.rows, f.targets...)
		if f.table != nil {
			tables = append(tables, f.table)
		}
		if f.chart != nil {
			charts = append(charts, *f.chart)
		}
	}
	return b.report(section, where()+".", tables, charts...)
}
