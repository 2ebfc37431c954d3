package follow

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
)

var (
	chaosSeeds = flag.Int("chaos.seeds", 25, "how many random schedules of faults to try")
	chaosFirst = flag.Uint64("chaos.first", 0, "the first seed")
)

// Random faults happen, and readers are slow, leave, and come back with a cursor. All lines that were written must be
// delivered in order, except those that notices report as missing.
func TestStreamsDeliverWhatWasWrittenInSpiteOfFaults(t *testing.T) {
	for seed := *chaosFirst; seed < *chaosFirst+uint64(*chaosSeeds); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, seed) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	w := newWorld(seed)
	random := rand.New(rand.NewPCG(seed, 2))
	steps := 200 + random.IntN(1000)
	for range random.IntN(50) {
		w.step()
	}
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		pace := rand.New(rand.NewPCG(seed, 3))
		for range steps {
			elapse(time.Duration(1+pace.IntN(200)) * time.Millisecond)
			w.step()
		}
		w.end()
		w.comeBack()
	}()

	in := podlog.Input{Namespace: "default", Job: ptr("copy"), Follow: true}
	slow := random.IntN(2) == 0
	leaves := random.IntN(2) == 0
	seen := []reading{{}}
	// This is enough for all containers, unless too many lines wait when another container comes.
	memory := newTestBudget(int64(leastMemory(maxPods*maxPodContainers) + random.IntN(2)*random.IntN(podlog.MaxWaiting)))
	for {
		last := &seen[len(seen)-1]
		in.After = &last.cursor
		if last.cursor == "" {
			last.first = w.firstLines()
			last.next = maps.Clone(last.first)
		}
		ended, err := readSome(t, w, memory, in, random, slow, leaves, &seen)
		if err != nil {
			t.Error(err)
			return
		}
		if ended {
			break
		}
		// The reader may have lost its last batches.
		seen = seen[:len(seen)-random.IntN(min(len(seen), 5))]
		// It comes back between two steps of the world.
		now := time.Now()
		elapse(now.Truncate(time.Millisecond).Add(time.Duration(random.IntN(3000))*time.Millisecond + time.Millisecond/2).Sub(now))
	}
	if err := seen[len(seen)-1].checkEnd(w); err != nil {
		t.Error(err)
	}
	if used := memory.used(t); used != 0 {
		t.Errorf("%v bytes are used after the last stream has been closed", used)
	}
}

// patience is longer than any stream lasts.
const patience = time.Hour

// readSome reads a new stream until it ends or the reader leaves, and appends to seen.
func readSome(t *testing.T, w *world, memory *testBudget, in podlog.Input, random *rand.Rand, slow, leaves bool, seen *[]reading) (ended bool, _ error) {
	streamer := newTestStreamer(w)
	streamer.Budget = memory.Budget
	st, err := streamer.Stream(t.Context(), in)
	if errors.Is(err, budget.ErrFull) {
		return false, nil // the reader comes back
	}
	if err != nil {
		return false, err
	}
	defer st.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		batch, err := st.Next(ctx)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if errors.Is(err, budget.ErrFull) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		last := (*seen)[len(*seen)-1].clone()
		if err := last.take(w, batch); err != nil {
			return false, err
		}
		*seen = append(*seen, last)
		if slow && random.IntN(20) == 0 {
			elapse(time.Duration(random.IntN(10_000)) * time.Millisecond)
		}
		if leaves && random.IntN(20) == 0 {
			return false, nil
		}
	}
}

// reading is what a reader knows after a batch.
type reading struct {
	cursor string
	// first is the number of each container's line that the reader began with.
	first map[string]int
	// next is the number of each container's next line.
	next map[string]int
	// gaps has the containers with a GAP since their last line. dropped counts their dropped lines since then.
	gaps    map[string]bool
	dropped map[string]int
	// parts has the containers whose last line was only a part. A GAP must follow.
	parts map[string]bool
	// ended has the containers whose last notice of a run was ENDED, and not STARTED or RESUMED.
	ended map[string]bool
	// owed has the containers for which a GAP about missed runs is still to come.
	owed map[string]bool
	// absent means that a GAP has reported containers that are gone.
	absent bool
}

func (r reading) clone() reading {
	r.next, r.gaps, r.parts, r.dropped = clone(r.next), clone(r.gaps), clone(r.parts), clone(r.dropped)
	r.owed, r.ended = clone(r.owed), clone(r.ended)
	return r
}

func clone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

// take checks a batch against the truth.
func (r *reading) take(w *world, batch *podlog.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	truth := w.containers()
	r.cursor = batch.Cursor
	for _, n := range batch.Notices {
		switch {
		case n.Kind == podlog.Gap && n.Pod == nil:
			r.absent = true
		case n.Kind == podlog.Gap && strings.HasSuffix(n.Message, "times before its log could be read"):
			if name := *n.Pod + "/" + *n.Container; r.owed[name] {
				delete(r.owed, name)
			} else {
				r.gaps[name] = true
			}
		case n.Kind == podlog.Gap:
			delete(r.owed, *n.Pod+"/"+*n.Container)
			r.gaps[*n.Pod+"/"+*n.Container] = true
		case n.Kind == podlog.Ended, n.Kind == podlog.Started, n.Kind == podlog.Resumed && n.Pod != nil:
			r.ended[*n.Pod+"/"+*n.Container] = n.Kind == podlog.Ended
		case n.Kind == podlog.Dropped:
			r.dropped[*n.Pod+"/"+*n.Container] += *n.Count
		}
	}
	for _, got := range batch.Lines {
		name := got.Pod + "/" + got.Container
		if r.ended[name] {
			return fmt.Errorf("%s: line %.80q comes after ENDED", name, got.Message)
		}
		if got.Message == strings.TrimSpace(removed) {
			r.gaps[name] = true
			continue
		}
		i, err := r.number(truth[name], got)
		if err != nil {
			return err
		}
		if err := r.reach(truth[name], name, i); err != nil {
			return err
		}
		want, ok := truth[name].line(i)
		if !ok {
			return fmt.Errorf("%s: line %d was never written", name, i)
		}
		whole := got.Message == want.Message || len(want.Message) > podlog.DefaultLineBytes && got.TruncatedBytes > 0
		if !got.Timestamp.Equal(want.Timestamp) || !strings.HasPrefix(want.Message, got.Message) {
			return fmt.Errorf("%s: line %d is %v %.80q, want %v %.80q", name, i, got.Timestamp, got.Message, want.Timestamp, want.Message)
		}
		r.parts[name] = !whole
		r.next[name] = i + 1
	}
	return nil
}

// number returns the number of a line of a container. The message may be a part that does not have the whole number.
func (r *reading) number(c *worldContainer, got podlog.Line) (int, error) {
	for i := r.next[got.Pod+"/"+got.Container]; ; i++ {
		want, ok := c.line(i)
		if !ok {
			break
		}
		if want.Timestamp.Equal(got.Timestamp) && strings.HasPrefix(want.Message, got.Message) {
			return i, nil
		}
	}
	number, _, _ := strings.Cut(got.Message, " ")
	return strconv.Atoi(number)
}

// reach checks that the next line may be the one with number i.
func (r *reading) reach(c *worldContainer, name string, i int) error {
	if r.parts[name] && !r.gaps[name] {
		return fmt.Errorf("%s: only a part of line %d came", name, r.next[name]-1)
	}
	missing := i - r.next[name]
	if missing < 0 {
		return fmt.Errorf("%s: line %d comes again; %d was next", name, i, r.next[name])
	}
	missing -= r.dropped[name]
	unreported := missing != 0 && (missing < 0 || !r.gaps[name] && missing > c.unseen(r.next[name], r.dropped[name]))
	switch {
	case unreported && c.skipsRuns(r.next[name], i, r.dropped[name]):
		r.owed[name] = true
	case unreported:
		return fmt.Errorf("%s: line %d follows; %d was next, and %d were reported as dropped", name, i, r.next[name], r.dropped[name])
	}
	delete(r.gaps, name)
	delete(r.dropped, name)
	return nil
}

// checkEnd checks that nothing is missing at the end.
func (r *reading) checkEnd(w *world) error {
	for name, c := range w.containers() {
		if c.pod.deleted && r.absent {
			continue
		}
		if c.pod.deleted && (c.beginsRun(r.next[name]) || r.ended[name]) && !r.gaps[name] && !r.owed[name] {
			// The pod may have been gone before the reader came, or the run have come and gone while the reader was away.
			continue
		}
		if err := r.reach(c, name, c.lines); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
		if r.owed[name] {
			return fmt.Errorf("%s: no notice says that runs were missed", name)
		}
	}
	return nil
}

// goleak fails the package when a goroutine of a stream still runs.
func TestThousandsOfCanceledStreamsLeaveNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 500 {
				elapse(10 * time.Millisecond)
				w.step()
			}
		}()
		streamer := newTestStreamer(w)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 2000 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(2000))*time.Millisecond)
			in := podlog.Input{Namespace: "default", Job: ptr("copy"), Follow: true, Caller: strconv.Itoa(i % 10)}
			st, err := streamer.Stream(ctx, in)
			if err != nil {
				cancel()
				continue
			}
			for err == nil && random.IntN(20) > 0 {
				_, err = st.Next(t.Context())
			}
			st.Close()
			cancel()
		}
		<-done
		if streamer.open != 0 || len(streamer.callers) != 0 {
			t.Errorf("%d streams, %v of callers, are counted as open", streamer.open, streamer.callers)
		}
	})
}
