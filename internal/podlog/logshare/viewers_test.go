package logshare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
)

// container is a snapshot with one container.
func container(run podlog.Run) podlog.Snapshot {
	containers := []podlog.Container{{Name: "app", Run: run}}
	return podlog.Snapshot{Pods: []podlog.Pod{{Name: "web", UID: "1", Containers: containers, Finished: !run.Running}}}
}

var runEnded = podlog.Run{ID: "1", Reason: "Completed"}

// late is a Source that opens logs of runs that have ended up to a second later.
type late struct{ podlog.Source }

func (l late) OpenLog(ctx context.Context, req podlog.LogRequest) (io.ReadCloser, error) {
	if req.Ended {
		time.Sleep(rand.N(time.Second))
	}
	return l.Source.OpenLog(ctx, req)
}

func newStreamer(source podlog.Source) *follow.Streamer {
	return follow.New(follow.Options{
		Source: source, Metrics: follow.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
}

// view reads a stream to its end. It returns its messages and the kinds of its notices.
func view(t *testing.T, streamer *follow.Streamer, in podlog.Input) (messages []string, notices []podlog.NoticeKind) {
	stream, err := streamer.Stream(t.Context(), in)
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	defer stream.Close()
	for {
		batch, err := stream.Next(t.Context())
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			return messages, notices
		}
		for _, line := range batch.Lines {
			messages = append(messages, line.Message)
		}
		for _, notice := range batch.Notices {
			notices = append(notices, notice.Kind)
		}
	}
}

func TestAHundredStreamsOfAContainerMakeOneRequest(t *testing.T) {
	const viewers, written = 100, 50
	// The last lines are found by a request of their own. That the log has no more is confirmed by another one.
	for tail, requests := range map[int]int{0: 1, 10: 2, 1000: 3} {
		t.Run(fmt.Sprint("tail ", tail), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				c.write(lines(0, 300, time.Second)...)
				c.show(container(podlog.Run{ID: "1", Running: true}))
				streamer := newStreamer(newTestSource(c))
				var views sync.WaitGroup
				for i := range viewers {
					views.Go(func() {
						time.Sleep(time.Duration(i) * 9 * time.Millisecond)
						in := podlog.Input{Namespace: "default", Pod: &target.Pod, TailLines: &tail, Follow: true}
						stream, err := streamer.Stream(t.Context(), in)
						if err != nil {
							t.Error(err)
							return
						}
						defer stream.Close()
						got := 0
						for got < min(tail, 300)+written {
							batch, err := stream.Next(t.Context())
							if err != nil {
								t.Error(err)
								return
							}
							got += len(batch.Lines)
						}
						if got != min(tail, 300)+written {
							t.Errorf("%d lines", got)
						}
					})
				}
				time.Sleep(time.Minute)
				wantRequests(t, c, requests, 1)
				for range written {
					time.Sleep(100 * time.Millisecond)
					c.write(lines(300, 1, 0)...)
				}
				views.Wait()
				wantRequests(t, c, requests, 0)
				if watched, watching := c.watches(); watched != 1 || watching != 0 {
					t.Errorf("%d watches, %d go on", watched, watching)
				}
			})
		})
	}
}

func TestAHundredStreamsOfARunThatEndsMakeFewRequests(t *testing.T) {
	const viewers = 100
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.write(lines(0, 10, time.Second)...)
		c.show(container(podlog.Run{ID: "1", Running: true}))
		s := newTestSource(c)
		streamer := newStreamer(late{s})
		var views sync.WaitGroup
		for range viewers {
			views.Go(func() {
				messages, notices := view(t, streamer, podlog.Input{Namespace: "default", Pod: &target.Pod, Follow: true})
				if len(messages) != 15 || len(notices) != 2 {
					t.Errorf("got %q and %q", messages, notices)
				}
			})
		}
		wantRequests(t, c, 1, 1)
		c.write(lines(10, 5, 0)...)
		c.end("", io.EOF)
		time.Sleep(time.Second)
		c.show(container(runEnded))
		views.Wait()
		wantRequests(t, c, 3, 0)
		wantNothingCached(t, s)
	})
}

// The streams start within a second.
func TestAHundredStreamsOfAnEndedRunMakeFewRequests(t *testing.T) {
	const viewers = 100
	none, ten, thousand := 0, 10, 1000
	for _, test := range []struct {
		name            string
		tail            *int
		lines, requests int
	}{
		// The first stream does not share its request.
		{"all", nil, 301, 3},
		{"tail 1000", &thousand, 301, 3},
		{"tail 10", &ten, 10, 2},
		// A stream that gets no line does not know the end. The second stream's request for the last line confirms the first's.
		{"tail 0", &none, 0, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				c.write(lines(0, 300, time.Second)...)
				c.write(record{time: time.Now(), text: "no line end", partial: true})
				c.show(container(runEnded))
				time.Sleep(time.Minute)
				s := newTestSource(c)
				streamer := newStreamer(s)
				var views sync.WaitGroup
				for i := range viewers {
					views.Go(func() {
						time.Sleep(time.Duration(i) * 9 * time.Millisecond)
						in := podlog.Input{Namespace: "default", Pod: &target.Pod, TailLines: test.tail}
						messages, notices := view(t, streamer, in)
						if len(messages) != test.lines || len(notices) != 2 {
							t.Errorf("got %q and %q", messages, notices)
						}
					})
				}
				views.Wait()
				wantRequests(t, c, test.requests, 0)
				wantNothingCached(t, s)
			})
		})
	}
}

// The cluster ends responses in the middle of the log as though that were its end. Streams start at any time.
func TestAllStreamsReadALogThatIsCutOffToItsEnd(t *testing.T) {
	const viewers, cuts = 20, 4
	for _, follow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster()
			c.write(lines(0, 100, time.Millisecond)...)
			var answers atomic.Int64
			c.respond = func(req podlog.LogRequest) response {
				time.Sleep(10 * time.Millisecond)
				if !req.Ended || req.Tail != nil {
					return response{}
				}
				if n := answers.Add(1); n <= cuts {
					return response{cut: 10 * int(n)}
				}
				return response{}
			}
			c.show(container(runEnded))
			s := newTestSource(c)
			streamer := newStreamer(late{s})
			var views sync.WaitGroup
			for range viewers {
				views.Go(func() {
					in := podlog.Input{Namespace: "default", Pod: &target.Pod, Follow: follow}
					if messages, _ := view(t, streamer, in); len(messages) != 100 || messages[99] != "line 99" {
						t.Errorf("got %q", messages)
					}
				})
			}
			views.Wait()
			if opened, open := c.counts(); opened > 4*cuts || open > 0 {
				t.Errorf("%d requests, of which %d are open", opened, open)
			}
			wantNothingCached(t, s)
		})
	}
}
