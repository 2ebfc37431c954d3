package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	// recovery is how long after the loads a replica may keep what they made it take.
	recovery = 30 * time.Second
	// spareGoroutines and spareFiles are by how many a replica may have more than before: pulls run, lists are asked for.
	spareGoroutines, spareFiles = 25, 10
	// logBurst and logRate bound the lines that clients can make a replica log: at once, and for each second.
	logBurst, logRate = 100, 10
	// ratioAllowed is how many times longer the slowest hundredth of a well-behaved client's answers may take under load.
	ratioAllowed = 5
)

func TestWellBehavedClientsNoticeNothingOfHostileOnes(t *testing.T) {
	s := startServer(t)
	watching, stopWatching := context.WithCancel(t.Context())
	var watches sync.WaitGroup
	watches.Go(func() { s.watch(watching) })

	using, stopUsing := context.WithCancel(t.Context())
	defer stopUsing()
	g := startGoodClients(using, t, s.address)
	s.settled(t, pick(time.Second, 10*time.Second))
	g.stage.Store(int32(quiet))
	before := s.settled(t, pick(3*time.Second, 20*time.Second))

	lines, began := s.logLines(t), time.Now()
	g.stage.Store(int32(loaded))
	attacks := s.attack(t)
	g.stage.Store(int32(after))
	lasted := time.Since(began)
	lines = s.logLines(t) - lines

	ended, now := time.Now(), usage{}
	recovering, stop := context.WithTimeout(t.Context(), recovery)
	defer stop()
	recovered := s.poll(recovering, func() bool {
		goroutines, err := s.goroutines(recovering)
		now = usage{goroutines, s.files()}
		return err == nil && goroutines <= before.goroutines+spareGoroutines && now.files <= before.files+spareFiles
	})
	took := time.Since(ended)
	stopUsing()
	g.done.Wait()
	stopWatching()
	watches.Wait()

	t.Log("\n" + table(s, attacks, g, before, now, took, lines, lasted))
	s.check(t, lasted)
	if !recovered {
		t.Errorf("%s after the loads the server has %d goroutines and %d files; before them it had %d and %d",
			took.Round(time.Second), now.goroutines, now.files, before.goroutines, before.files)
	}
	for _, a := range attacks {
		a.check(t)
	}
	if allowed := logBurst + int(logRate*lasted.Seconds()); lines > allowed {
		t.Errorf("the loads made the server log %d lines in %s; at most %d are a few a second", lines, lasted.Round(time.Second), allowed)
	}
	g.updates.check(t)
	for _, client := range []*poller{&g.kept, &g.fresh} {
		client.check(t)
		if ratio := client.ratio(); *long && ratio > ratioAllowed {
			t.Errorf("the p99 of the well-behaved client with %s is %.1f times the quiet one; it may be %d times", client.name, ratio, ratioAllowed)
		}
	}
}

// usage is what a replica has at a moment.
type usage struct{ goroutines, files int }

// settled watches the server for a time without loads and returns the most that it has then.
func (s *server) settled(t *testing.T, duration time.Duration) usage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var most usage
	for wait(ctx, 500*time.Millisecond) {
		goroutines, err := s.goroutines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		most = usage{max(most.goroutines, goroutines), max(most.files, s.files())}
	}
	return most
}

// check fails the test if the server has ended or had too much memory. One that has ended fails it at once: all the rest
// follows from that.
func (s *server) check(t *testing.T, lasted time.Duration) {
	t.Helper()
	if rss := s.most.rss.Load(); rss > memoryAllowed {
		t.Errorf("the server had %d MiB of resident memory; it may have %d", rss>>20, memoryAllowed>>20)
	}
	if s.cgroup != nil {
		if killed := s.cgroup.read(s.cgroup.files.killed); killed > 0 {
			t.Error("the kernel has killed the server: it was out of memory")
		}
	}
	select {
	case <-s.exited:
		t.Fatalf("the server ended after %s of loads: %v", tenths(lasted), s.err)
	default:
	}
}

// attackProcess is a load's process.
type attackProcess struct {
	load    load
	clients int
	result  result
	err     error
	// answered is closed when the load has the answer that it has to get, or has ended.
	answered chan struct{}
}

// attack runs all loads at once until their time is over or the server has ended.
func (s *server) attack(t *testing.T) []*attackProcess {
	t.Helper()
	var attacks []*attackProcess
	clients := 0
	for _, l := range loads() {
		if *only == "" || slices.Contains(strings.Split(*only, ","), l.name) {
			attacks = append(attacks, &attackProcess{load: l, clients: pick(l.short, l.long), answered: make(chan struct{})})
			clients += pick(l.short, l.long)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), *loadTime+2*patience)
	defer cancel()
	go func() {
		select {
		case <-s.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	end := time.Now().Add(*loadTime)
	var processes sync.WaitGroup
	start := func(a *attackProcess) {
		if a.load.fills {
			a.clients = min(a.clients, remainingFiles(t, clients-a.clients))
		}
		processes.Go(func() { a.result, a.err = a.run(ctx, s.address, time.Until(end)) })
	}
	// The loads that have to get a certain answer begin: later there may be no room for them.
	first, last := split(attacks, func(a *attackProcess) bool { return a.load.must != "" })
	for _, a := range first {
		start(a)
	}
	head, stop := context.WithTimeout(ctx, *loadTime/4)
	defer stop()
	for _, a := range first {
		select {
		case <-a.answered:
		case <-head.Done():
		}
	}
	for _, a := range last {
		start(a)
	}
	processes.Wait()
	return attacks
}

// split returns the elements for which something is so and the others.
func split[T any](all []T, so func(T) bool) (with, without []T) {
	for _, one := range all {
		if so(one) {
			with = append(with, one)
		} else {
			without = append(without, one)
		}
	}
	return with, without
}

// remainingFiles returns how many connections the server can have beside those of others: it may open as many files as
// this process may.
func remainingFiles(t *testing.T, others int) int {
	t.Helper()
	const spare = 500
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	return int(min(files.Max, math.MaxInt32)) - others - spare
}

// run starts the load's process and waits for its result.
func (a *attackProcess) run(ctx context.Context, address string, duration time.Duration) (last result, err error) {
	answered := sync.OnceFunc(func() { close(a.answered) })
	defer answered()
	spec, err := json.Marshal(job{Load: a.load.name, Address: address, Clients: a.clients, Time: duration})
	if err != nil {
		return last, err
	}
	self, err := os.Executable()
	if err != nil {
		return last, err
	}
	cmd := exec.Command("nice", "-n", "19", self)
	cmd.Env = append(os.Environ(), jobVariable+"="+string(spec), "GOMAXPROCS=1")
	var failed bytes.Buffer
	cmd.Stderr = &failed
	input, err := cmd.StdinPipe()
	if err != nil {
		return last, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return last, err
	}
	if err := cmd.Start(); err != nil {
		return last, err
	}
	// It ends by itself when its standard input does.
	defer context.AfterFunc(ctx, func() { _ = input.Close() })()
	results := json.NewDecoder(output)
	for err == nil {
		if err = results.Decode(&last); err == nil {
			answered()
		}
	}
	if ended := cmd.Wait(); ended != nil {
		return last, fmt.Errorf("%w\n%s", ended, failed.Bytes())
	}
	if !errors.Is(err, io.EOF) {
		return last, err
	}
	return last, nil
}

// check fails the test unless the load was answered as it has to be.
func (a *attackProcess) check(t *testing.T) {
	t.Helper()
	if a.err != nil {
		t.Errorf("load %s: %v", a.load.name, a.err)
		return
	}
	for kind, times := range a.result.Answers {
		if !a.load.allows(kind) {
			t.Errorf("load %s: %d answers were %s", a.load.name, times, kind)
		}
	}
	if must := a.load.must; must != "" && a.result.Answers[must] == 0 {
		t.Errorf("load %s: no answer was %s", a.load.name, must)
	}
	if len(a.result.Answers) == 0 {
		t.Errorf("load %s: nothing was answered", a.load.name)
	}
}

// answers returns what was answered how often, the most frequent first.
func (a *attackProcess) answers() string {
	if a.err != nil {
		return a.err.Error()
	}
	kinds := slices.SortedFunc(maps.Keys(a.result.Answers), func(x, y string) int {
		return a.result.Answers[y] - a.result.Answers[x]
	})
	var all []string
	for _, kind := range kinds {
		all = append(all, fmt.Sprintf("%s %d", kind, a.result.Answers[kind]))
	}
	return strings.Join(all, ", ")
}

// table is all that was measured.
func table(s *server, attacks []*attackProcess, g *goodClients, before, now usage, took time.Duration, lines int, lasted time.Duration) string {
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	row("LOAD\tCLIENTS\tHELD AT ONCE\tANSWERS")
	for _, a := range attacks {
		row("%s\t%d\t%s\t%s", a.load.name, a.clients, some(a.result.Held), a.answers())
	}
	row("\nWELL-BEHAVED CLIENT\tQUIET p50\tp99\tLOADED p50\tp99\tRATIO OF p99\tANSWERS\tERRORS\tCONNECTIONS")
	for _, client := range []*poller{&g.kept, &g.fresh} {
		row("%s\t%s\t%s\t%s\t%s\t%.1f\t%d\t%d\t%d", client.name, client.milliseconds(quiet, 0.5), client.milliseconds(quiet, 0.99),
			client.milliseconds(loaded, 0.5), client.milliseconds(loaded, 0.99), client.ratio(), client.answers(), len(client.errs), client.connections.Load())
	}
	row("\nWELL-BEHAVED SUBSCRIBER\tQUIET\tLOADED\tAFTER")
	u := &g.updates
	row("updates\t%d\t%d\t%d", u.updates[quiet], u.updates[loaded], u.updates[after])
	row("longest silence\t%s\t%s\t%s", tenths(u.silence[quiet]), tenths(u.silence[loaded]), tenths(u.silence[after]))
	row("\nSERVER\tBEFORE\tMOST\tAFTER %s", tenths(took))
	row("goroutines\t%d\t\t%d", before.goroutines, now.goroutines)
	row("open files\t%d\t%d\t%d", before.files, s.most.files.Load(), now.files)
	row("resident memory\t\t%d MiB\t%d MiB", s.most.rss.Load()>>20, s.memory("VmRSS")>>20)
	if c := s.cgroup; c != nil {
		row("memory of the cgroup (v%d)\t\t%d MiB\t", c.files.version, c.read(cgroupField{file: c.files.most})>>20)
		if sockets := c.read(c.files.sockets); sockets >= 0 {
			row("memory of sockets, not in that\t\t%d MiB\t", sockets>>20)
		}
		row("times at the limit\t\t%d\t", c.read(c.files.failures))
	}
	row("lines logged in %s\t\t%d\t", tenths(lasted), lines)
	out.Flush()
	return text.String()
}

func (p *poller) milliseconds(at stage, share float64) string {
	took, _ := p.latency(at, share)
	return fmt.Sprintf("%.1f ms", float64(took)/float64(time.Millisecond))
}

// answers returns how many there were in all.
func (p *poller) answers() int {
	total := 0
	for at := range stages {
		_, n := p.latency(at, 1)
		total += n
	}
	return total
}

// some returns a number, or nothing for none.
func some(number int) string {
	if number == 0 {
		return ""
	}
	return strconv.Itoa(number)
}

func tenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
