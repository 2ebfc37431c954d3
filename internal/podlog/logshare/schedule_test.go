package logshare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// schedule writes a log, and opens and closes readers of it, at random.
type schedule struct {
	t       *testing.T
	random  *rand.Rand
	cluster *cluster
	source  *Source
	// precision is that of the node's clock.
	precision time.Duration
	// stepsBack makes the clock step back now and then. Then no reader has a Since.
	stepsBack bool
	// longest is the length of the longest lines.
	longest int
	// lines is how many lines were written. back is how far the clock was set back.
	lines   int
	back    time.Duration
	readers sync.WaitGroup
}

// Every reader gets what a request of its own would have got.
func TestReadersGetWhatOwnRequestsWouldGet(t *testing.T) {
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newSchedule(t, seed).run() })
		})
	}
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	random := rand.New(rand.NewPCG(seed, 1))
	c := newCluster()
	if random.IntN(2) == 0 {
		c.random = rand.New(rand.NewPCG(seed, 2))
	}
	source := newTestSource(c)
	if random.IntN(2) == 0 {
		// Rings cannot grow.
		source.memory.grown = MaxMemory
	}
	return &schedule{
		t:         t,
		random:    random,
		cluster:   c,
		source:    source,
		precision: []time.Duration{time.Nanosecond, time.Millisecond, time.Second}[random.IntN(3)],
		stepsBack: random.IntN(4) == 0,
		longest:   []int{40, 9000, 40_000}[random.IntN(3)],
	}
}

func (s *schedule) run() {
	for range 60 {
		switch s.random.IntN(4) {
		case 0, 1:
			s.write(s.random.IntN(30))
		case 2:
			s.addReader()
		default:
			time.Sleep(time.Duration(s.random.IntN(2e9)))
			if s.stepsBack && s.random.IntN(4) == 0 {
				s.back += time.Duration(s.random.IntN(5e9))
			}
		}
	}
	end := []error{io.EOF, errors.New("connection reset")}[s.random.IntN(2)]
	s.cluster.end([]string{"", "2000-01-01T00:00:30Z no line end", "2000-01"}[s.random.IntN(3)], end)
	s.readers.Wait()
	if _, open := s.cluster.counts(); open > 0 || len(s.source.runs) > 0 {
		s.t.Errorf("%d requests are still open, %d runs are still used", open, len(s.source.runs))
	}
}

// write appends n lines to the log.
func (s *schedule) write(n int) {
	for range n {
		s.lines++
		stamp := time.Now().Add(-s.back).Truncate(s.precision)
		length := s.random.IntN(40)
		if s.random.IntN(20) == 0 {
			length = s.random.IntN(s.longest)
		}
		s.cluster.write(record{time: stamp, text: fmt.Sprint(s.lines, strings.Repeat("x", length))})
		if s.random.IntN(3) == 0 {
			time.Sleep(time.Duration(s.random.IntN(1e7)))
		}
	}
}

// addReader starts a reader.
func (s *schedule) addReader() {
	s.readers.Go(s.newReader(s.request()).run)
}

// newReader returns a reader that is slow, or is closed early, at random.
func (s *schedule) newReader(req podlog.LogRequest) *scheduledReader {
	r := &scheduledReader{schedule: s, req: req, random: rand.New(rand.NewPCG(s.random.Uint64(), 3))}
	if s.random.IntN(3) == 0 {
		r.leavesAt = 1 + s.random.IntN(20_000)
	}
	r.pause = time.Duration(s.random.IntN(3)) * 50 * time.Millisecond
	r.piece = 1 + s.random.IntN(40_000)
	return r
}

func (s *schedule) request() podlog.LogRequest {
	req := request()
	if s.random.IntN(2) == 0 {
		req = tailed(s.random.IntN(40))
	}
	if !s.stepsBack && s.random.IntN(2) == 0 {
		req.Since = time.Now().Add(-time.Duration(s.random.IntN(20e9)))
	}
	return req
}

type scheduledReader struct {
	*schedule
	req      podlog.LogRequest
	random   *rand.Rand
	leavesAt int
	pause    time.Duration
	piece    int
}

func (r *scheduledReader) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	earliest := r.seenBefore()
	log, err := r.source.OpenLog(ctx, r.req)
	if err != nil {
		r.t.Errorf("open: %v", err)
		return
	}
	latest := r.cluster.seen()
	got, err := r.readAll(log)
	log.Close()
	for seen := latest; ; seen-- {
		want := r.cluster.truth(r.req, seen)
		if len(got) < len(want) && err != nil && !errors.Is(err, io.EOF) && bytes.HasPrefix(want, got) || bytes.Equal(got, want) {
			return
		}
		if seen <= earliest {
			r.t.Errorf("tail %v, since %v, ended with %v: got %s\nwant %s", r.req.Tail, r.req.Since, err, brief(got), brief(want))
			return
		}
	}
}

// seenBefore is how many lines the log had a second ago: a Tail may be that of then.
func (r *scheduledReader) seenBefore() int {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	return r.cluster.seenAt(time.Now().Add(-recently))
}

var errLeft = errors.New("left")

func (r *scheduledReader) readAll(log io.Reader) (got []byte, err error) {
	p := make([]byte, r.piece)
	for {
		n, err := log.Read(p[:1+r.random.IntN(len(p))])
		got = append(got, p[:n]...)
		if err != nil {
			return got, err
		}
		if r.leavesAt > 0 && len(got) >= r.leavesAt {
			return got, errLeft
		}
		if r.pause > 0 && r.random.IntN(4) == 0 {
			time.Sleep(r.pause)
		}
	}
}

// brief shortens long lines for messages.
func brief(b []byte) []byte {
	var out []byte
	for line := range bytes.Lines(b) {
		out = append(out, bytes.ReplaceAll(line, []byte("xxxxxxxxxx"), nil)...)
	}
	return out
}
