package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// logFigures are what was measured of logs.
type logFigures struct{ goals, speeds *table }

func (f *logFigures) add(what, wanted, ours, other string, met bool) {
	answer := "yes"
	if !met {
		answer = "**no**"
	}
	f.goals.add(what, wanted, ours, other, answer)
}

// speed shows how fast a finished log of so many lines was read.
func (f *logFigures) speed(log string, r *result, lines int) {
	f.speeds.add(log, r.name, digits(r.perSecond()*float64(lines)), cpuOfEach(r, lines), round(r.percentile(50)))
}

// measureLogs measures logs from memory and from pods, and reports.
func (b *bench) measureLogs(ctx context.Context) error {
	f := &logFigures{
		goals:  &table{head: []string{"what", "wanted", "pullwatch", "compared with", "reached"}},
		speeds: &table{head: []string{"finished log", "read with", "lines a second", "CPU µs a line", "whole log: p50"}},
	}
	b.part = logsPart
	began := time.Now()
	tell := func(what string) {
		fmt.Fprintf(os.Stderr, "logs, after %.0f s: %s\n", time.Since(began).Seconds(), what)
	}
	tell("from memory")
	if err := b.logsFromMemory(ctx, f); err != nil {
		return err
	}
	program := filepath.Join(b.dir, "pullwatch")
	if err := buildProgram(ctx, program); err != nil {
		return err
	}
	c, err := connect(ctx)
	if err != nil {
		return err
	}
	l, err := newLogPods(ctx, c, program, b.logImage)
	if err != nil {
		return err
	}
	defer l.close()
	tell("finished logs of pods")
	if err := l.finished(ctx, f, b.pace, b.podLines); err != nil {
		return err
	}
	tell("following a pod")
	if err := l.delays(ctx, f, b.length*2/7); err != nil {
		return err
	}
	tell("following pods that write as fast as they can")
	if err := l.memory(ctx, f, b.length*3/7); err != nil {
		return err
	}
	return b.report(logsPart, where()+", Kubernetes "+c.version()+".", []*table{f.goals, f.speeds})
}

// logsFromMemory compares servers that read a log from memory.
func (b *bench) logsFromMemory(ctx context.Context, f *logFigures) error {
	var candidates []*candidate
	for _, name := range []string{pullwatch, gqlgen, gqlgenByLine} {
		c, err := b.contend(ctx, name, 1)
		if err != nil {
			return err
		}
		defer c.close()
		candidates = append(candidates, &candidate{
			name: name, length: b.turn(), cpu: []meter{c.server.cpu}, turn: finishedLogs(c.address, "bench", "bench", logLines),
		})
	}
	results, err := b.compare(ctx, candidates...)
	if err != nil {
		return err
	}
	for _, r := range results {
		f.speed(fmt.Sprintf("%s lines of %d bytes, from memory", thousands(logLines), logLineBytes), r, logLines)
	}
	for _, other := range []struct {
		*result
		wanted float64
	}{{results[1], 2}, {results[2], 5}} {
		times := results[0].rateTo(other.result)
		f.add("lines a second of a finished log from memory", fmt.Sprintf("%.0f times those of %s", other.wanted, other.name),
			ratioOf(times), digits(other.perSecond()*logLines)+" lines a second", times >= other.wanted)
	}
	return nil
}
