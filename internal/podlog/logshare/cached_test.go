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

// wantNothingCached checks that no run and no memory is used once the cache has expired.
func wantNothingCached(t *testing.T, s *Source) {
	t.Helper()
	time.Sleep(cacheLife)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if used := s.memory.used; len(s.runs) > 0 || used != 0 {
		t.Errorf("%d runs and %d bytes are still used", len(s.runs), used)
	}
}

// confirm makes two requests for a log that has ended. The second one confirms the first.
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

func TestACachedLogServesLaterRequests(t *testing.T) {
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
		time.Sleep(cacheLife)
		synctest.Wait()
		openLog(t, s, endedTail(1))
		wantRequests(t, c, opened+1, 0)
	})
}

// A response that has ended may be a part of the log, or no log at all.
func TestAnUnconfirmedLogServesNobody(t *testing.T) {
	for name, test := range map[string]struct {
		first, second response
		text          string
	}{
		"other ends":    {first: response{cut: 2}},
		"errors":        {first: response{cut: 3, err: errors.New("reset")}, second: response{cut: 3, err: errors.New("reset")}},
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
				responses := []response{test.first, test.second, {}}
				c.respond = func(podlog.LogRequest) response {
					next := responses[0]
					responses = responses[1:]
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
				wantNothingCached(t, s)
			})
		})
	}
}

// The same fault may have cut off both.
func TestRequestsAtTheSameTimeDoNotConfirmEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 10, time.Second)...)
		c.respond = func(podlog.LogRequest) response {
			time.Sleep(time.Second)
			return response{cut: 5}
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
		c.respond = nil
		wantBytes(t, openLog(t, s, ended()), c.truth(ended(), 0))
		wantRequests(t, c, 3, 0)
	})
}

func TestAHangingRequestHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 10, time.Second)...)
		c.respond = func(podlog.LogRequest) response { return response{cut: 5, hangs: true} }
		s := newTestSource(c)
		hanging := []io.ReadCloser{openLog(t, s, ended()), openLog(t, s, ended())}
		wantBytes(t, hanging[0], c.truth(ended(), 0)[:20])
		wantRequests(t, c, 1, 1)
		time.Sleep(recently)
		c.respond = nil
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
		wantNothingCached(t, s)
	})
}

// An error reaches all readers that wait, and no later one.
func TestAnErrorOfAnEndedRunIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 3, time.Second)...)
		c.refuse = podlog.ErrGone
		c.respond = func(podlog.LogRequest) response {
			time.Sleep(10 * time.Millisecond)
			return response{}
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

// A reader of a cached log may go on for as long as it likes.
func TestAReaderMayOutliveTheCache(t *testing.T) {
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
		wantNothingCached(t, s)
	})
}

func TestCachedLogsLeaveMemoryToOthers(t *testing.T) {
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

// endsWhenLeft is a Source of logs that have one line, and end when their request is canceled.
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

func TestALogThatEndsAfterItsLastReaderIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestSource(endsWhenLeft{})
		log := openLog(t, s, ended())
		if n, err := log.Read(make([]byte, 100)); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		log.Close()
		if len(s.runs) != 0 {
			t.Errorf("%d runs are still used", len(s.runs))
		}
		wantNothingCached(t, s)
	})
}

// Later readers share one request.
func TestASingleReaderOfAWholeLogIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 100, time.Second)...)
		truth := c.truth(endedWhole(), 0)
		s := newTestSource(c)
		c.respond = func(podlog.LogRequest) response {
			time.Sleep(10 * time.Millisecond)
			return response{}
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
		wantNothingCached(t, s)
		wantRequests(t, c, 2, 0)
		openLog(t, s, endedWhole()).Close()
		wantRequests(t, c, 3, 0)
		wantNothingCached(t, s)
	})
}
