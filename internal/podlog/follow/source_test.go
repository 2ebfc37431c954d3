package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
)

// fakeSource is a cluster of one target.
type fakeSource struct {
	// snapshots are delivered one after the other, unless startErr is set.
	snapshots chan podlog.Snapshot
	startErr  error
	// open answers requests for logs.
	open func(podlog.LogRequest) (io.ReadCloser, error)

	mu       sync.Mutex
	requests []podlog.LogRequest
}

func newFakeSource(open func(podlog.LogRequest) (io.ReadCloser, error), snapshots ...podlog.Snapshot) *fakeSource {
	s := &fakeSource{snapshots: make(chan podlog.Snapshot, 100), open: open}
	for _, snapshot := range snapshots {
		s.snapshots <- snapshot
	}
	return s
}

func (s *fakeSource) WatchPods(ctx context.Context, _ podlog.Target, deliver func(podlog.Snapshot)) error {
	if s.startErr != nil {
		return s.startErr
	}
	for {
		select {
		case snapshot := <-s.snapshots:
			deliver(snapshot)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deliverInTurn delivers snapshots in a synctest bubble, each when all goroutines wait.
func (s *fakeSource) deliverInTurn(snapshots []podlog.Snapshot) {
	for _, snapshot := range snapshots {
		synctest.Wait()
		s.snapshots <- snapshot
	}
}

func (s *fakeSource) OpenLog(ctx context.Context, req podlog.LogRequest) (io.ReadCloser, error) {
	s.mu.Lock()
	s.requests = append(s.requests, req)
	s.mu.Unlock()
	log, err := s.open(req)
	if err != nil {
		return nil, err
	}
	return &fakeLog{ctx: ctx, log: log}, nil
}

// fakeLog fails once its context has ended, as the body of a request does.
type fakeLog struct {
	ctx context.Context
	log io.ReadCloser
}

func (l *fakeLog) Read(p []byte) (int, error) {
	stop := context.AfterFunc(l.ctx, func() { l.log.Close() })
	defer stop()
	n, err := l.log.Read(p)
	if l.ctx.Err() != nil {
		return 0, l.ctx.Err()
	}
	return n, err
}

func (l *fakeLog) Close() error { return l.log.Close() }

// text is a log that ends.
func text(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

// broken is a log whose connection breaks at its end.
func broken(s string) io.ReadCloser {
	return io.NopCloser(io.MultiReader(strings.NewReader(s), errReader{errBroken}))
}

var errBroken = errors.New("connection reset")

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// hanging is a log that has nothing after s, and does not end until it is closed.
func hanging(s string) io.ReadCloser {
	r, w := io.Pipe()
	return &hangingLog{Reader: io.MultiReader(strings.NewReader(s), r), read: r, write: w}
}

type hangingLog struct {
	io.Reader
	read  *io.PipeReader
	write *io.PipeWriter
}

func (l *hangingLog) Close() error {
	l.write.Close()
	return l.read.Close()
}

// replies answers the requests for each container's log in order, and repeats the last reply. A request for the last line
// gets the reply of the request before.
func replies(byContainer map[string][]func() (io.ReadCloser, error)) func(podlog.LogRequest) (io.ReadCloser, error) {
	var mu sync.Mutex
	asked := map[string]int{}
	return func(req podlog.LogRequest) (io.ReadCloser, error) {
		mu.Lock()
		defer mu.Unlock()
		key := req.Pod + "/" + req.Container
		list := byContainer[key]
		if len(list) == 0 {
			return nil, fmt.Errorf("unexpected request for %s", key)
		}
		i := min(asked[key], len(list)-1)
		switch {
		case req.Tail != nil && *req.Tail == 1 && asked[key] > 0:
			return list[min(asked[key], len(list))-1]() // whether the log was read to its end
		case req.Tail != nil && *req.Tail > 1 && !req.Follow:
			return untilNow(list[i]()) // where the last lines begin
		}
		asked[key]++
		return list[i]()
	}
}

// untilNow returns what is in a log now. The connections of hanging and of broken are for those who follow it.
func untilNow(log io.ReadCloser, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	if h, ok := log.(*hangingLog); ok {
		h.write.Close()
	}
	now, err := io.ReadAll(log)
	if err != nil && !errors.Is(err, errBroken) {
		return nil, err
	}
	return text(string(now)), nil
}

type reply = func() (io.ReadCloser, error)

func ok(make func(string) io.ReadCloser, s string) reply {
	return func() (io.ReadCloser, error) { return make(s), nil }
}

func fails(err error) reply { return func() (io.ReadCloser, error) { return nil, err } }

// at is a log line with a timestamp of that many milliseconds after a fixed moment.
func at(ms int, message string) string {
	return start.Add(time.Duration(ms)*time.Millisecond).Format("2006-01-02T15:04:05.000000000Z07:00") + " " + message + "\n"
}

// start is before the time that a synctest bubble begins with: what is written then is history.
var start = time.Date(1999, 1, 2, 3, 4, 5, 0, time.UTC)

func running(id string) podlog.Container {
	return podlog.Container{Name: "app", Run: podlog.Run{ID: id, Running: true}}
}

func ended(id string, code int, reason string) podlog.Container {
	return podlog.Container{Name: "app", Run: podlog.Run{ID: id, ExitCode: code, Reason: reason}}
}

func pod(name string, containers ...podlog.Container) podlog.Pod {
	return podlog.Pod{Name: name, UID: "uid-" + name, Containers: containers}
}

func finished(p podlog.Pod) podlog.Pod {
	p.Finished = true
	return p
}

// looping is a container that was restarted often and waits until it is restarted again.
func looping(id string, restarts int, why string) podlog.Container {
	run := podlog.Run{ID: id, ExitCode: 1, Restarts: restarts}
	return podlog.Container{Name: "app", Run: run, Previous: run, Waiting: why, Looping: true}
}

func failed(p podlog.Pod, reason string) podlog.Pod {
	p.Finished, p.Reason = true, reason
	return p
}

func neverStarted(c podlog.Container) podlog.Container {
	c.Run.NeverStarted = true
	return c
}

func pods(pods ...podlog.Pod) podlog.Snapshot { return podlog.Snapshot{Pods: pods} }

// recovered is a snapshot with n recoveries.
func recovered(n int, pods ...podlog.Pod) podlog.Snapshot {
	return podlog.Snapshot{Pods: pods, Recoveries: n}
}

// elapse lets d pass on the clock of a synctest bubble.
func elapse(d time.Duration) { <-time.After(d) }

func ptr[T any](v T) *T { return &v }

func podInput() podlog.Input {
	return podlog.Input{Namespace: "default", Pod: ptr("web"), Follow: true}
}

func newTestStreamer(source podlog.Source) *Streamer {
	return New(Options{
		Source: source, Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
}

// startStream starts a stream that ends with the test.
func startStream(t *testing.T, source podlog.Source, in podlog.Input) *Stream {
	t.Helper()
	st, err := newTestStreamer(source).Stream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st
}

// events are the lines and notices of a stream as text: "web/app: message" for a line, "KIND web/app: message" for a notice.
type events struct {
	lines, notices []string
}

func (e *events) add(batch *podlog.Batch) {
	for _, n := range batch.Notices {
		who := "stream"
		if n.Pod != nil {
			who = *n.Pod + "/" + *n.Container
		}
		e.notices = append(e.notices, fmt.Sprintf("%s %s: %s", n.Kind, who, n.Message))
	}
	for _, l := range batch.Lines {
		e.lines = append(e.lines, fmt.Sprintf("%s/%s: %s", l.Pod, l.Container, l.Message))
	}
}

// readAll reads a stream to its end.
func readAll(t *testing.T, st *Stream) (events, error) {
	t.Helper()
	var e events
	for {
		batch, err := st.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return e, nil
		}
		if err != nil {
			return e, err
		}
		e.add(batch)
	}
}

// wantEvents reads a stream to its end and compares its lines and notices.
func wantEvents(t *testing.T, st *Stream, lines, notices []string) {
	t.Helper()
	got, err := readAll(t, st)
	if err != nil {
		t.Errorf("stream ended with %v", err)
	}
	if !slices.Equal(got.lines, lines) {
		t.Errorf("lines:\n%s\nwant:\n%s", strings.Join(got.lines, "\n"), strings.Join(lines, "\n"))
	}
	if !slices.Equal(got.notices, notices) {
		t.Errorf("notices:\n%s\nwant:\n%s", strings.Join(got.notices, "\n"), strings.Join(notices, "\n"))
	}
}
