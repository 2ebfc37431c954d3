package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// podOf returns a pod with n containers of the same status.
func podOf(name string, n int, run podlog.Run) podlog.Pod {
	p := pod(name)
	for i := range n {
		p.Containers = append(p.Containers, podlog.Container{Name: fmt.Sprint("c", i), Run: run})
	}
	return p
}

// openLogs counts the logs of a source that are open.
type openLogs struct {
	mu        sync.Mutex
	now, most int
}

func (o *openLogs) open(log io.ReadCloser) io.ReadCloser {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now++
	o.most = max(o.most, o.now)
	return &countedLog{ReadCloser: log, logs: o}
}

type countedLog struct {
	io.ReadCloser
	logs *openLogs
	once sync.Once
}

func (l *countedLog) Close() error {
	l.once.Do(func() {
		l.logs.mu.Lock()
		defer l.logs.mu.Unlock()
		l.logs.now--
	})
	return l.ReadCloser.Close()
}

func TestEveryLogOfAPodWithManyContainersIsRead(t *testing.T) {
	for _, follow := range []bool{false, true} {
		t.Run(fmt.Sprintf("follow=%v", follow), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const containers = 3*podlog.MaxOpenLogs + 7
				var logs openLogs
				source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return logs.open(text(at(0, "a"))), nil },
					pods(finished(podOf("web", containers, podlog.Run{ID: "1", Reason: "Completed"}))))
				in := podInput()
				in.Follow = follow
				got, err := readAll(t, startStream(t, source, in))
				if err != nil || len(got.lines) != containers {
					t.Errorf("got %d lines, %v", len(got.lines), err)
				}
				if ends := len(slices.DeleteFunc(got.notices, func(n string) bool { return !strings.HasPrefix(n, "ENDED") })); ends != containers {
					t.Errorf("told of %d ends", ends)
				}
				if logs.most > podlog.MaxOpenLogs {
					t.Errorf("%d logs were open at a time", logs.most)
				}
			})
		})
	}
}

// Sidecars run, and init containers ended long ago: only what runs keeps a place.
func TestEndedInitContainersCostNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []podlog.Pod
		for i := range podlog.MaxOpenLogs {
			p := podOf(fmt.Sprint("web-", i), 3, podlog.Run{ID: "1"})
			p.Containers = append(p.Containers, running("2"))
			all = append(all, p)
		}
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			if req.Follow {
				return hanging(at(0, "a")), nil
			}
			return text(at(0, "a")), nil
		}, pods(all...))
		st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("app=web"), Follow: true})
		var got events
		for len(got.lines) < 4*podlog.MaxOpenLogs {
			batch, err := nextWithin(t, st, time.Minute)
			if err != nil {
				t.Fatalf("after %d lines: %v", len(got.lines), err)
			}
			got.add(batch)
		}
	})
}

// A roll-out brings more containers than a stream reads at a time.
func TestAStreamThatGetsTooManyContainersGoesOnAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := podlog.Run{ID: "1", Running: true}
		first, later := podOf("web", podlog.MaxOpenLogs, run), podOf("web-2", 2, run)
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			if !req.Follow {
				return text(at(0, req.Pod)), nil
			}
			return hanging(at(0, req.Pod)), nil
		}, pods(first))
		st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("app=web"), Follow: true})
		elapse(time.Second)
		source.snapshots <- pods(first, later)
		elapse(time.Minute)
		var got events
		read := func() {
			t.Helper()
			batch, err := nextWithin(t, st, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			got.add(batch)
		}
		const told = "WAITING stream: this stream reads 50 logs, as many as one may have open at a time. Those of 2 more containers " +
			"come when others have ended. " + narrow
		for !slices.Contains(got.notices, told) {
			read()
		}
		first.Containers[7].Run.Running, first.Containers[9].Run.Running = false, false
		source.snapshots <- pods(first, later)
		for len(got.lines) < podlog.MaxOpenLogs+2 {
			read()
		}
		if n := len(slices.DeleteFunc(got.notices, func(n string) bool { return n != told })); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

func TestContainersBeyondThoseOfAStreamAreLeftOutAndSoTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := podlog.Run{ID: "1"}
		first, later := podOf("web", podlog.MaxContainers, ended), podOf("web-2", 2, ended)
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) { return text(at(0, req.Pod)), nil }, pods(first))
		st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("app=web"), Follow: true})
		var got events
		collected := make(chan error, 1)
		go func() {
			for {
				batch, err := st.Next(t.Context())
				if err != nil {
					collected <- err
					return
				}
				got.add(batch)
			}
		}()
		elapse(time.Minute)
		source.snapshots <- pods(first, later)
		elapse(time.Minute)
		source.snapshots <- pods(first, later)
		elapse(time.Minute)
		st.Close()
		if err := <-collected; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
		if len(got.lines) != podlog.MaxContainers {
			t.Errorf("got %d lines", len(got.lines))
		}
		if n := len(slices.DeleteFunc(got.notices, func(n string) bool { return !strings.Contains(n, ": 2 more are left out") })); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}
