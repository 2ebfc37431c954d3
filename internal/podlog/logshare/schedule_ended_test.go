package logshare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// A run has ended. Readers come and go at random, and the cluster cuts responses off in every way. Readers find out, as
// podlog/follow does, whether they have read the whole log.
func TestReadersFindTheEndOfARunAtRandomFaults(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runEndedSchedule(newSchedule(t, seed)) })
		})
	}
}

func runEndedSchedule(s *schedule) {
	s.stepsBack = false
	for range 30 {
		s.write(s.random.IntN(30))
		time.Sleep(time.Duration(s.random.IntN(1e9)))
	}
	// A Tail of one line gets only the last part of a long line.
	s.cluster.write(record{time: time.Now(), text: "last", partial: s.random.IntN(2) == 0})
	if s.random.IntN(3) > 0 {
		s.breakOff()
	}
	if s.random.IntN(3) == 0 {
		// This may last longer than podlog/follow tries.
		begin, length := time.Duration(s.random.IntN(20e9)), time.Duration(s.random.IntN(60e9))
		s.readers.Go(func() {
			time.Sleep(begin)
			s.cluster.goAway(length)
		})
	}
	for range 50 {
		r := s.newReader(s.endedRequest())
		r.piece += 10_000
		switch s.random.IntN(3) {
		case 0:
			s.readers.Go(r.readOnce)
		case 1:
			s.readers.Go(r.readUntilConfirmed)
		default:
			s.readers.Go(r.readUntilTheSame)
		}
		time.Sleep(time.Duration(s.random.IntN(100)*s.random.IntN(20)) * time.Millisecond)
	}
	s.readers.Wait()
	wantNothingCached(s.t, s.source)
	if _, open := s.cluster.counts(); open > 0 {
		s.t.Errorf("%d requests are still open", open)
	}
}

// Readers of a run that has ended are closed at random.
func TestThousandsOfClosedReadersLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(t, 1)
		s.longest = 40
		s.cluster.respond = func(podlog.LogRequest) response {
			time.Sleep(10 * time.Millisecond)
			return response{}
		}
		s.write(500)
		for range 5000 {
			r := s.newReader(s.endedRequest())
			r.leavesAt = 1 + s.random.IntN(30_000)
			r.pause = time.Duration(s.random.IntN(20)) * time.Millisecond
			s.readers.Go(r.readOnce)
			time.Sleep(time.Duration(s.random.IntN(5)) * time.Millisecond)
			if s.random.IntN(200) == 0 {
				time.Sleep(cacheLife)
			}
		}
		s.readers.Wait()
		wantNothingCached(t, s.source)
		if opened, open := s.cluster.counts(); open > 0 || opened > 1000 {
			t.Errorf("%d requests, of which %d are open", opened, open)
		}
	})
}

// breakOff makes the cluster cut off responses to requests for more than the last line. It does not cut off twice in the
// same place: two responses that agree count as whole.
func (s *schedule) breakOff() {
	places := s.random.Perm(s.cluster.seen() - 1)
	random := rand.New(rand.NewPCG(s.random.Uint64(), 4))
	s.cluster.respond = func(req podlog.LogRequest) response {
		s.cluster.mu.Lock()
		delay := time.Duration(random.IntN(50)) * time.Millisecond
		var a response
		if random.IntN(2) == 0 && len(places) > 0 && (req.Tail == nil || *req.Tail > 1) {
			a.cut, places = 1+places[0], places[1:]
			switch random.IntN(6) {
			case 0:
				a.err = errors.New("connection reset")
			case 1:
				a.hangs = true
			}
		}
		s.cluster.mu.Unlock()
		time.Sleep(delay)
		return a
	}
}

func (s *schedule) endedRequest() podlog.LogRequest {
	req := s.request()
	req.Follow, req.Ended = false, true
	if s.random.IntN(2) == 0 {
		// All readers that have followed the log ask for nearly the same.
		req = endedSince(s.cluster.written[len(s.cluster.written)-1].Add(-time.Duration(s.random.IntN(2)) * time.Second))
	}
	return req
}

// open reads the response to one request. It gives up after longer than any response takes that does not hang.
func (r *scheduledReader) open(req podlog.LogRequest) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	log, err := r.source.OpenLog(ctx, req)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return r.readAll(log)
}

func (r *scheduledReader) readOnce() {
	got, err := r.open(r.req)
	want := r.cluster.truth(r.req, r.cluster.seen())
	if !bytes.HasPrefix(want, got) || r.cluster.respond == nil && errors.Is(err, io.EOF) && !bytes.Equal(got, want) {
		r.t.Errorf("tail %v, since %v, ended with %v: got %s\nwant %s", r.req.Tail, r.req.Since, err, brief(got), brief(want))
	}
}

// maxRequests is more requests than it takes until a response is whole.
const maxRequests = 100

// readUntilConfirmed reads until the last line of a response is that of the log.
func (r *scheduledReader) readUntilConfirmed() {
	r.readUntil(func(got []byte) bool {
		last, err := r.open(endedTail(1))
		return errors.Is(err, io.EOF) && bytes.HasSuffix(got, last)
	})
}

// readUntilTheSame reads until a response has nothing new.
func (r *scheduledReader) readUntilTheSame() {
	var before []byte
	r.readUntil(func(got []byte) bool {
		same := bytes.Equal(got, before)
		before = got
		return same
	})
}

// readUntil reads until isWhole accepts a response as whole. When no lines are wanted, any response is accepted.
func (r *scheduledReader) readUntil(isWhole func(got []byte) bool) {
	r.leavesAt = 0
	want := r.cluster.truth(r.req, r.cluster.seen())
	for range maxRequests {
		got, err := r.open(r.req)
		switch {
		case !errors.Is(err, io.EOF):
			time.Sleep(time.Second)
		case len(want) == 0:
			return
		case len(got) > 0 && isWhole(got):
			if !bytes.Equal(got, want) {
				r.t.Errorf("tail %v, since %v: got %s\nwant %s", r.req.Tail, r.req.Since, brief(got), brief(want))
			}
			return
		}
	}
	r.t.Errorf("no response was whole")
}
