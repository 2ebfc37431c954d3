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

// lines returns n lines with numbers from first on. The last one is of now.
func lines(first, n int, apart time.Duration) []record {
	now := time.Now()
	var records []record
	for i := range n {
		records = append(records, record{time: now.Add(-time.Duration(n-1-i) * apart), text: fmt.Sprint("line ", first+i)})
	}
	return records
}

func wantRequests(t *testing.T, c *cluster, opened, open int) {
	t.Helper()
	synctest.Wait()
	if gotOpened, gotOpen := c.counts(); gotOpened != opened || gotOpen != open {
		t.Fatalf("%d requests, of which %d are open; want %d and %d", gotOpened, gotOpen, opened, open)
	}
}

// A second upstream is closed once the first one has the next line of its reader.
func TestAReaderMovesToTheFirstUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 100, time.Second)...)
		s := newTestSource(c)
		shared := openLog(t, s, tailed(10))
		wantBytes(t, shared, c.truth(tailed(10), 100))
		time.Sleep(time.Minute)

		all := openLog(t, s, request())
		got := make(chan []byte)
		go func() {
			text, _ := io.ReadAll(all)
			got <- text
		}()
		wantRequests(t, c, 2, 1)
		c.write(lines(100, 10, 0)...)
		c.end("", io.EOF)
		if text := <-got; string(text) != string(c.truth(request(), 0)) {
			t.Errorf("got %s", text)
		}
		wantRequests(t, c, 2, 0)
	})
}

func TestLaterReadersNeedNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 100, time.Second)...)
		s := newTestSource(c)
		first := openLog(t, s, tailed(50))
		wantBytes(t, first, c.truth(tailed(50), 100))
		time.Sleep(time.Minute)
		for _, req := range []podlog.LogRequest{
			tailed(0), tailed(10), tailed(50), since(time.Now()), since(time.Now().Add(-80 * time.Second)),
		} {
			log := openLog(t, s, req)
			wantBytes(t, log, c.truth(req, 100))
			wantRequests(t, c, 1, 1)
			log.Close()
		}
		for i, req := range []podlog.LogRequest{tailed(51), since(time.Now().Add(-2 * time.Minute)), request()} {
			log := openLog(t, s, req)
			wantRequests(t, c, i+2, 2)
			log.Close()
		}
	})
}

func TestALogShorterThanATailIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 1, 0)...)
		s := newTestSource(c)
		wantBytes(t, openLog(t, s, tailed(100)), c.truth(tailed(100), 1))
		time.Sleep(time.Minute)
		wantBytes(t, openLog(t, s, tailed(50)), c.truth(tailed(50), 1))
		wantRequests(t, c, 1, 1)
	})
}

// A single slow reader holds the cluster back, and loses nothing. A slow reader among others fails, and holds up nobody.
func TestASlowReaderHoldsBackTheClusterOnlyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		for i := range 200 {
			c.write(record{time: time.Now(), text: fmt.Sprint(i, strings.Repeat("x", 20<<10))})
		}
		s := newTestSource(c)
		truth := c.truth(request(), 0)
		slow := openLog(t, s, request())
		wantBytes(t, slow, truth[:100])
		time.Sleep(time.Hour)
		wantBytes(t, slow, truth[100:200])

		wantBytes(t, openLog(t, s, request()), truth)
		if _, err := slow.Read(make([]byte, 100)); !errors.Is(err, errOverrun) {
			t.Errorf("the slow reader got %v", err)
		}
		wantRequests(t, c, 1, 1)
	})
}

// The last line has no line end.
func TestAnEndReachesAllReaders(t *testing.T) {
	for _, end := range []error{io.EOF, errors.New("connection reset")} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster()
			c.write(lines(0, 10, 0)...)
			s := newTestSource(c)
			logs := []io.ReadCloser{openLog(t, s, request()), openLog(t, s, request()), openLog(t, s, since(time.Now()))}
			c.end("2000-01-01T00:00:00", end)
			for _, log := range logs {
				wantBytes(t, log, c.truth(request(), 0))
				if _, err := log.Read(make([]byte, 10)); !errors.Is(err, end) {
					t.Errorf("got %v, want %v", err, end)
				}
			}
			wantRequests(t, c, 1, 0)
			c.end("", nil)
			openLog(t, s, request())
			wantRequests(t, c, 2, 1)
		})
	}
}

// An error reaches all readers that wait, and no later one.
func TestAnErrorOfOpeningIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.refuse = podlog.ErrNoLog
		s := newTestSource(c)
		var opening sync.WaitGroup
		for range 5 {
			opening.Go(func() {
				if _, err := s.OpenLog(t.Context(), request()); !errors.Is(err, podlog.ErrNoLog) {
					t.Errorf("got %v", err)
				}
			})
		}
		opening.Wait()
		c.refuse = nil
		c.write(lines(0, 1, 0)...)
		wantBytes(t, openLog(t, s, request()), c.truth(request(), 0))
		if len(s.runs) != 1 {
			t.Errorf("%d runs are still used", len(s.runs))
		}
	})
}

func TestALogOutlivesItsFirstReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		s := newTestSource(c)
		ctx, cancel := context.WithCancel(t.Context())
		opener, err := s.OpenLog(ctx, request())
		if err != nil {
			t.Fatal(err)
		}
		other := openLog(t, s, request())
		cancel()
		if _, err := opener.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		opener.Close()
		c.write(lines(0, 1, 0)...)
		wantBytes(t, other, c.truth(request(), 0))
		wantRequests(t, c, 1, 1)
		other.Close()
		wantRequests(t, c, 1, 0)
	})
}

func TestRequestsOfOtherKindsAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 10, 0)...)
		s := newTestSource(c)
		once, previous, unknown := request(), request(), request()
		once.Follow, previous.Previous, unknown.Run = false, true, ""
		for i, req := range []podlog.LogRequest{once, previous, unknown} {
			openLog(t, s, req)
			log := openLog(t, s, req)
			wantBytes(t, log, c.truth(req, 0))
			wantRequests(t, c, 2*i+2, 2*i+2)
		}
	})
}

// Without memory for another upstream, a request is not shared.
func TestTooManyLogsAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 1, 0)...)
		s := newTestSource(c)
		const upstreams = MaxMemory / minRing
		for i := range upstreams {
			req := request()
			req.Run = fmt.Sprint(i)
			openLog(t, s, req)
		}
		req := request()
		req.Run = "one more"
		wantBytes(t, openLog(t, s, req), c.truth(req, 0))
		openLog(t, s, req)
		wantRequests(t, c, upstreams+2, upstreams+2)
		req.Run = "0"
		openLog(t, s, req)
		wantRequests(t, c, upstreams+2, upstreams+2)
	})
}

func TestReadersGetNoEarlierLinesWhenAClockStepsBack(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster()
			c.random = rand.New(rand.NewPCG(seed, 0))
			s := newTestSource(c)
			c.write(lines(0, 5, time.Second)...)
			all, recent := openLog(t, s, request()), openLog(t, s, since(time.Now()))
			random := rand.New(rand.NewPCG(seed, 1))
			for i := range 100 {
				stamp := time.Now().Add(time.Duration(random.IntN(5)-2) * time.Second)
				c.write(record{time: stamp, text: fmt.Sprint(i)})
			}
			c.end("2000-01-01T00:00:00.000000000Z no line end", io.EOF)
			wantBytes(t, all, c.truth(request(), 0))
			got, err := io.ReadAll(recent)
			if want := c.truth(since(time.Now()), 0); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
			wantRequests(t, c, 1, 0)
		})
	}
}

// A response has fewer lines than its Tail because Since left lines out, not because the log has no more.
func TestATailThatSinceCutShortIsNotTheWholeLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 10, time.Second)...)
		s := newTestSource(c)
		req := tailed(100)
		req.Since = time.Now().Add(-5 * time.Second)
		wantBytes(t, openLog(t, s, req), c.truth(req, 10))
		time.Sleep(time.Minute)
		wantBytes(t, openLog(t, s, req), c.truth(req, 10))
		wantRequests(t, c, 1, 1)
		wantBytes(t, openLog(t, s, tailed(100)), c.truth(tailed(100), 10))
	})
	// The tail may have left out lines with the timestamp of the first line in the ring.
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 10, 0)...)
		s := newTestSource(c)
		wantBytes(t, openLog(t, s, tailed(5)), c.truth(tailed(5), 10))
		time.Sleep(time.Minute)
		req := since(time.Now().Add(-time.Minute))
		wantBytes(t, openLog(t, s, req), c.truth(req, 10))
	})
}
