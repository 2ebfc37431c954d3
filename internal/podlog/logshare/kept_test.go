package logshare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// wantNothingKept checks that nothing is left a while after all have left.
func wantNothingKept(t *testing.T, s *Source) {
	t.Helper()
	time.Sleep(keepEnded)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if used := s.memory.used; len(s.runs) > 0 || used != 0 {
		t.Errorf("%d runs and %d bytes are kept", len(s.runs), used)
	}
}

// confirm makes two requests for a log that has ended, the second of which confirms what the first has brought.
func confirm(t *testing.T, s *Source, first podlog.LogRequest) {
	t.Helper()
	for _, req := range []podlog.LogRequest{first, endedTail(1)} {
		log := openLog(t, s, req)
		if _, err := io.ReadAll(log); err != nil {
			t.Fatal(err)
		}
		log.Close()
	}
}

// TestKeptLogs checks which requests are served from what is kept, and that they get what they ask for.
func TestKeptLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 100, time.Second)...)
		c.write(record{time: time.Now(), text: "no line end", partial: true})
		s := newTestSource(c)
		first := endedSince(time.Now().Add(-50 * time.Second))
		confirm(t, s, first)
		opened := 2
		for _, req := range []podlog.LogRequest{
			first, endedSince(time.Now()), endedSince(time.Now().Add(time.Hour)), endedTail(0), endedTail(1), endedTail(2),
			endedTail(52),
		} {
			log := openLog(t, s, req)
			if got, err := io.ReadAll(log); err != nil || !bytes.Equal(got, c.truth(req, 101)) {
				t.Errorf("got %s, %v", got, err)
			}
			wantRequests(t, c, opened, 0)
		}
		previous := ended()
		previous.Previous = true
		for _, req := range []podlog.LogRequest{endedTail(53), ended(), previous, request()} {
			opened++
			log := openLog(t, s, req)
			wantBytes(t, log, c.truth(req, 101))
			log.Close()
			wantRequests(t, c, opened, 0)
		}
		time.Sleep(keepEnded)
		synctest.Wait()
		openLog(t, s, endedTail(1))
		wantRequests(t, c, opened+1, 0)
	})
}

// TestEndsThatAreNotConfirmed checks that what has ended serves nobody who comes later as long as it may be a part, or
// what a log is not.
func TestEndsThatAreNotConfirmed(t *testing.T) {
	for name, test := range map[string]struct {
		first, second answer
		text          string
	}{
		"other ends":    {first: answer{cut: 2}},
		"errors":        {first: answer{cut: 3, err: errors.New("reset")}, second: answer{cut: 3, err: errors.New("reset")}},
		"no timestamps": {text: "unable to retrieve container logs"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				c.write(lines(0, 3, time.Second)...)
				if test.text != "" {
					c.write(record{text: test.text, bare: true})
				}
				s := newTestSource(c)
				alone := openLog(t, s, endedWhole())
				answers := []answer{test.first, test.second, {}}
				c.answer = func(podlog.LogRequest) answer {
					next := answers[0]
					answers = answers[1:]
					return next
				}
				for i := range 3 {
					log := openLog(t, s, endedWhole())
					got, _ := io.ReadAll(log)
					log.Close()
					if want := c.truth(endedWhole(), 0); i == 2 && !bytes.Equal(got, want) {
						t.Errorf("got %s, want %s", got, want)
					}
					wantRequests(t, c, i+2, 1)
				}
				alone.Close()
				wantNothingKept(t, s)
			})
		})
	}
}

// TestEndedAtTheSameTime checks that requests which were under way together do not confirm each other: what broke off
// one of them may have broken off both.
func TestEndedAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 10, time.Second)...)
		c.answer = func(podlog.LogRequest) answer {
			time.Sleep(time.Second)
			return answer{cut: 5}
		}
		s := newTestSource(c)
		var reads sync.WaitGroup
		for _, req := range []podlog.LogRequest{ended(), endedTail(7)} {
			reads.Go(func() {
				log, err := s.OpenLog(t.Context(), req)
				if err != nil {
					t.Error(err)
					return
				}
				defer log.Close()
				io.Copy(io.Discard, log)
			})
		}
		reads.Wait()
		c.answer = nil
		wantBytes(t, openLog(t, s, ended()), c.truth(ended(), 0))
		wantRequests(t, c, 3, 0)
	})
}

// TestLogThatHangs checks that nobody joins a request that hangs, and that those who joined it before do not hold up
// others.
func TestLogThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 10, time.Second)...)
		c.answer = func(podlog.LogRequest) answer { return answer{cut: 5, hangs: true} }
		s := newTestSource(c)
		hanging := []io.ReadCloser{openLog(t, s, ended()), openLog(t, s, ended())}
		wantBytes(t, hanging[0], c.truth(ended(), 0)[:20])
		wantRequests(t, c, 1, 1)
		time.Sleep(recently)
		c.answer = nil
		log := openLog(t, s, ended())
		if got, err := io.ReadAll(log); err != nil || !bytes.Equal(got, c.truth(ended(), 0)) {
			t.Errorf("got %s, %v", got, err)
		}
		log.Close()
		wantRequests(t, c, 2, 1)
		for _, log := range hanging {
			log.Close()
		}
		wantRequests(t, c, 2, 0)
		wantNothingKept(t, s)
	})
}

// TestErrorsOfEndedRuns checks that errors reach all who wait, and nobody who comes later.
func TestErrorsOfEndedRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 3, time.Second)...)
		c.refuse = podlog.ErrGone
		c.answer = func(podlog.LogRequest) answer {
			time.Sleep(10 * time.Millisecond)
			return answer{}
		}
		s := newTestSource(c)
		var opening sync.WaitGroup
		for range 5 {
			opening.Go(func() {
				if _, err := s.OpenLog(t.Context(), ended()); !errors.Is(err, podlog.ErrGone) {
					t.Errorf("got %v", err)
				}
			})
		}
		opening.Wait()
		wantRequests(t, c, 1, 0)
		c.refuse = nil
		wantBytes(t, openLog(t, s, ended()), c.truth(ended(), 0))
	})
}

// TestReaderOutlivesKeeping checks that whoever reads what is kept may go on for as long as that takes.
func TestReaderOutlivesKeeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 3, time.Second)...)
		c.write(record{time: time.Now(), text: strings.Repeat("x", 1000)})
		s := newTestSource(c)
		confirm(t, s, ended())
		log := openLog(t, s, ended())
		truth := c.truth(ended(), 0)
		wantBytes(t, log, truth[:500])
		time.Sleep(time.Hour)
		wantBytes(t, log, truth[500:])
		wantRequests(t, c, 2, 0)
		openLog(t, s, ended()).Close()
		wantRequests(t, c, 3, 0)
		log.Close()
		wantNothingKept(t, s)
	})
}

// TestNothingIsKeptWithoutRoom checks that logs which nobody reads do not take the place of those that are read.
func TestNothingIsKeptWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 3, time.Second)...)
		s := newTestSource(c)
		const upstreams = MaxMemory/minRing/2 + 1
		for i := range upstreams {
			req := request()
			req.Run = fmt.Sprint("run ", i)
			openLog(t, s, req)
		}
		confirm(t, s, ended())
		if used := s.memory.used; used != upstreams*minRing {
			t.Errorf("%d bytes are used, want those of %d upstreams", used, upstreams)
		}
	})
}

// endsWhenLeft is a Source of logs that have one line, and come to their end when nobody reads them any more.
type endsWhenLeft struct{ podlog.Source }

func (endsWhenLeft) OpenLog(ctx context.Context, _ podlog.LogRequest) (io.ReadCloser, error) {
	line := record{time: time.Now(), text: "line"}.appendTo(nil, true)
	return io.NopCloser(io.MultiReader(bytes.NewReader(line), endWith{ctx})), nil
}

type endWith struct{ ctx context.Context }

func (e endWith) Read([]byte) (int, error) {
	<-e.ctx.Done()
	return 0, io.EOF
}

// TestEndAfterTheLastReader checks that a log that comes to its end when its last reader is about to leave is not kept.
func TestEndAfterTheLastReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSource(endsWhenLeft{})
		log := openLog(t, s, ended())
		if n, err := log.Read(make([]byte, 100)); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		log.Close()
		if len(s.runs) != 0 {
			t.Errorf("%d runs are kept", len(s.runs))
		}
		wantNothingKept(t, s)
	})
}

// TestWholeLogIsReadAlone checks that who reads a whole log while nobody else does has a request for itself, and that
// those who come meanwhile share one.
func TestWholeLogIsReadAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 100, time.Second)...)
		truth := c.truth(endedWhole(), 0)
		s := newTestSource(c)
		c.answer = func(podlog.LogRequest) answer {
			time.Sleep(10 * time.Millisecond)
			return answer{}
		}
		var reads sync.WaitGroup
		for range 5 {
			reads.Go(func() {
				log, err := s.OpenLog(t.Context(), endedWhole())
				if err != nil {
					t.Error(err)
					return
				}
				defer log.Close()
				if got, err := io.ReadAll(log); err != nil || !bytes.Equal(got, truth) {
					t.Errorf("got %s, %v", got, err)
				}
			})
		}
		reads.Wait()
		wantNothingKept(t, s)
		wantRequests(t, c, 2, 0)
		openLog(t, s, endedWhole()).Close()
		wantRequests(t, c, 3, 0)
		wantNothingKept(t, s)
	})
}
