package follow

import (
	"context"
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

// isSearch reports whether a request looks for the beginning of last lines.
func isSearch(req podlog.LogRequest) bool {
	return !req.Follow && !req.Ended && req.Tail != nil && *req.Tail < tailSlack
}

// numbered returns n lines.
func numbered(n int) []string {
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprint("line ", i))
	}
	return lines
}

// A node may break off a response, as though it were whole, or say that it cannot read the log.
func TestATailIsNoLongerThanAskedWhenItsSearchFindsLess(t *testing.T) {
	const words = "failed to watch file: too many open files"
	for name, first := range map[string]func(whole string) io.ReadCloser{
		"cut off":                 func(whole string) io.ReadCloser { return text(whole[:strings.Index(whole, "line 996")]) },
		"cut off before any line": func(string) io.ReadCloser { return text("") },
		"broken":                  func(whole string) io.ReadCloser { return broken(whole[:len(whole)/2]) },
		"the node's words":        func(string) io.ReadCloser { return text(words + "\n") },
		"hanging":                 func(whole string) io.ReadCloser { return hanging(whole[:len(whole)/2]) },
	} {
		for _, follow := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/follow=%v", name, follow), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					log := &partsLog{lines: numbered(1000)}
					searched := false
					source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
						if isSearch(req) && !searched {
							searched = true
							whole, _ := log.open(req)
							all, _ := io.ReadAll(whole)
							return first(string(all)), nil
						}
						return log.open(req)
					}, pods(pod("web", running("1"))))
					in := podInput()
					in.TailLines, in.Follow = ptr(5), follow
					st := startStream(t, source, in)
					var got []string
					var notices events
					for {
						batch, err := nextWithin(t, st, time.Minute)
						if err != nil {
							break
						}
						notices.add(batch)
						for _, line := range batch.Lines {
							got = append(got, line.Message)
						}
					}
					want, told := log.lines[995:], started
					if name == "the node's words" && !follow {
						// As without a tail, it is not tried again.
						want, told = nil, "GAP web/app: lines may be missing: its log could not be read to the end; the node says: "+words
					}
					if !slices.Equal(got, want) {
						t.Errorf("got %d lines", len(got))
					}
					if !slices.Contains(notices.notices, told) {
						t.Errorf("told %q", notices.notices)
					}
				})
			})
		}
	}
}

// The line that is written between two requests of a search has as many parts as the second one asks for more.
func TestATailIsNoLongerThanAskedWhenTheContainerWritesDuringItsSearch(t *testing.T) {
	for parts := range 12 {
		synctest.Test(t, func(t *testing.T) {
			log := &partsLog{}
			for i := range 20 {
				log.lines = append(log.lines, fmt.Sprintf("%d %s", i, strings.Repeat("x", 40_000)))
			}
			wrote := false
			source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
				defer func() {
					if !wrote {
						wrote = true
						log.lines = append(log.lines, fmt.Sprintf("20 %s", strings.Repeat("x", parts*partSize)))
					}
				}()
				return log.open(req)
			}, pods(pod("web", running("1"))))
			in := podInput()
			in.TailLines, in.Follow = ptr(3), false
			got, err := readAll(t, startStream(t, source, in))
			if err != nil || len(got.lines) != 3 || !strings.HasPrefix(got.lines[2], "web/app: 20 ") {
				t.Errorf("%d parts: got %d lines, %v", parts, len(got.lines), err)
			}
		})
	}
}

// watchedSource is a source that any number of streams watch.
type watchedSource struct{ *fakeSource }

func (s *watchedSource) WatchPods(ctx context.Context, _ podlog.Target, deliver func(podlog.Snapshot)) error {
	deliver(pods(pod("web", running("1"))))
	<-ctx.Done()
	return ctx.Err()
}

// A search for the last lines takes long, but its node is not silent.
func TestAllWhoShareASlowSearchWaitForIt(t *testing.T) {
	for _, follow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log := &partsLog{lines: numbered(1000)}
			source := &watchedSource{newFakeSource(nil)}
			source.open = func(req podlog.LogRequest) (io.ReadCloser, error) {
				if !isSearch(req) {
					return log.open(req)
				}
				whole, _ := log.open(req)
				r, w := io.Pipe()
				go func() {
					defer w.Close()
					all, _ := io.ReadAll(whole)
					for line := range strings.Lines(string(all)) {
						elapse(stallLimit - time.Second)
						io.WriteString(w, line)
					}
				}()
				return r, nil
			}
			streamer := newTestStreamer(source)
			in := podInput()
			in.TailLines, in.Follow = ptr(5), follow
			var reading sync.WaitGroup
			for range 3 {
				st, err := streamer.Stream(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				reading.Go(func() {
					defer st.Close()
					var got events
					for len(got.lines) < 5 {
						batch, err := nextWithin(t, st, time.Hour)
						if err != nil {
							t.Error(err)
							return
						}
						got.add(batch)
					}
					if !slices.Equal(got.notices, []string{started}) {
						t.Errorf("told %q", got.notices)
					}
				})
			}
			reading.Wait()
			source.mu.Lock()
			defer source.mu.Unlock()
			if n := len(slices.DeleteFunc(source.requests, func(req podlog.LogRequest) bool { return !isSearch(req) })); n != 1 {
				t.Errorf("%d searches", n)
			}
		})
	}
}
