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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// attackProcess is a load's process.
type attackProcess struct {
	load    load
	clients int
	result  result
	err     error
	// processors is what it used of them.
	processors time.Duration
	// answered is closed when the load has the answer that it has to get, or has ended.
	answered chan struct{}
}

// answerLimit is how long a load may take to get the answer that it has to get, once no other load takes its room. It bounds a hang:
// no machine is that slow.
const answerLimit = 5 * time.Minute

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
		processes.Go(func() {
			answered := sync.OnceFunc(func() { close(a.answered) })
			defer answered()
			a.result, a.err = a.run(ctx, s.address, time.Until(end), answered)
		})
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
	for _, a := range first {
		s.awaitAnswer(t, a)
	}
	return attacks
}

// awaitAnswer repeats a load that has not got the answer that it has to get: on a slow machine its time was too short beside the
// others. It ends when the answer has come.
func (s *server) awaitAnswer(t *testing.T, a *attackProcess) {
	ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
	defer cancel()
	for a.err == nil && a.result.Answers[a.load.must] == 0 && ctx.Err() == nil {
		select {
		case <-s.exited:
			return
		default:
		}
		untilAnswered, stop := context.WithCancel(ctx)
		var more result
		more, a.err = a.run(untilAnswered, s.address, max(*loadTime, patience), stop)
		stop()
		for kind, times := range more.Answers {
			a.result.Answers[kind] += times
		}
		a.result.Held = max(a.result.Held, more.Held)
	}
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
	remaining := int(min(files.Max, math.MaxInt32)) - others - spare
	if remaining < 1 {
		t.Fatalf("%d files are too few for all loads", files.Max)
	}
	return remaining
}

// run starts the load's process and waits for its result. It calls answered, perhaps several times, when the load has the answer
// that it has to get.
func (a *attackProcess) run(ctx context.Context, address string, duration time.Duration, answered func()) (last result, err error) {
	spec, err := json.Marshal(assignment{Load: a.load.name, Address: address, Clients: a.clients, Time: duration})
	if err != nil {
		return last, err
	}
	self, err := os.Executable()
	if err != nil {
		return last, err
	}
	cmd := exec.Command("nice", "-n", "19", self)
	cmd.Env = append(os.Environ(), assignmentVariable+"="+string(spec), "GOMAXPROCS=1")
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
	ended := cmd.Wait()
	a.processors += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if ended != nil {
		return last, fmt.Errorf("%w\n%s", ended, failed.Bytes())
	}
	if !errors.Is(err, io.EOF) {
		return last, err
	}
	return last, nil
}

// processorTime returns what all loads used.
func processorTime(attacks []*attackProcess) time.Duration {
	var sum time.Duration
	for _, a := range attacks {
		sum += a.processors
	}
	return sum
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
