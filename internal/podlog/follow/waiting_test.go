package follow

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// crowd is a stream that reads as many running containers as it may.
type crowd struct {
	t      *testing.T
	first  podlog.Pod
	source *fakeSource
	stream *Stream
}

func newCrowd(t *testing.T) *crowd {
	first := podOf("web", podlog.MaxOpenLogs, podlog.Run{ID: "1", Running: true})
	source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
		if !req.Follow {
			return text(at(0, req.Pod)), nil
		}
		return hanging(at(0, req.Pod)), nil
	}, pods(first))
	c := &crowd{t: t, first: first, source: source}
	c.stream = startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("app=web"), Follow: true})
	c.read()
	return c
}

// show delivers the crowd and more pods.
func (c *crowd) show(more ...podlog.Pod) {
	c.source.snapshots <- pods(append([]podlog.Pod{c.first}, more...)...)
	synctest.Wait()
}

// end lets one container of the crowd end. Its place becomes free.
func (c *crowd) end(i int) {
	c.first.Containers = slices.Clone(c.first.Containers)
	c.first.Containers[i].Run.Running = false
}

// read reads until nothing more comes for a while.
func (c *crowd) read() (got events) {
	c.t.Helper()
	for {
		batch, err := nextWithin(c.t, c.stream, 20*time.Second)
		if err != nil {
			return got
		}
		got.add(batch)
	}
}

// told counts notices that say that containers wait for a place.
func told(got events) (n int) {
	for _, notice := range got.notices {
		if strings.HasPrefix(notice, "WAITING stream: this stream reads 50 logs") {
			n++
		}
	}
	return n
}

func TestTheReaderLearnsOfEachTimeThatContainersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		for _, name := range []string{"web-2", "web-3"} {
			c.show(pod(name, running("2")))
			if n := told(c.read()); n != 1 {
				t.Errorf("told %d times that %s waits", n, name)
			}
			c.show() // the pod that waits is deleted
		}
	})
}

// The reader takes nothing for so long that there is no room for notices.
func TestASlowReaderLearnsLaterThatContainersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		fillQueue(c.stream.queue)
		c.show(pod("web-2", running("2")))
		elapse(time.Minute)
		if n := told(c.read()); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

func TestASlowReaderLearnsLaterThatContainersAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		ended := podOf("ended", podlog.MaxContainers-podlog.MaxOpenLogs, podlog.Run{ID: "1"})
		c.show(ended)
		fillQueue(c.stream.queue)
		c.show(ended, pod("web-2", running("2")))
		got := c.read()
		c.show(ended, pod("web-2", running("2")))
		more := c.read()
		notices := slices.Concat(got.notices, more.notices)
		if !slices.ContainsFunc(notices, func(n string) bool { return strings.Contains(n, ": 1 more are left out") }) {
			t.Error("it was not told")
		}
	})
}

func TestASlowReaderLearnsLaterThatThereAreNoPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		fillQueue(c.stream.queue)
		c.source.snapshots <- podlog.Snapshot{Empty: "namespace default is being deleted"}
		synctest.Wait()
		c.read()
		c.source.snapshots <- podlog.Snapshot{Empty: "namespace default is being deleted", Recoveries: 1}
		if got := c.read(); !slices.Contains(got.notices, "WAITING stream: namespace default is being deleted") {
			t.Errorf("told %q", got.notices)
		}
	})
}

// News that do not matter do not put a container behind others that wait.
func TestContainersGetTheirPlacesInTheOrderInWhichTheyCame(t *testing.T) {
	for name, first := range map[string]podlog.Pod{
		"with news":   {Name: "web-2", UID: "uid-web-2", Reason: "news", Containers: []podlog.Container{running("2")}},
		"with a turn": finished(pod("web-2", ended("2", 0, "Completed"))),
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t)
			c.show(pod("web-2", running("2")))
			c.show(pod("web-2", running("2")), pod("web-3", running("3")))
			c.show(first, pod("web-3", running("3")))
			if n := told(c.read()); n != 1 {
				t.Errorf("%s: told %d times that containers wait", name, n)
			}
			c.end(0)
			c.show(first, pod("web-3", running("3")))
			lines := c.read().lines
			if !slices.Contains(lines, "web-2/app: web-2") || first.Reason != "" && slices.Contains(lines, "web-3/app: web-3") {
				t.Errorf("%s: got %q", name, lines)
			}
		})
	}
}

// Its log is not followed, so that it needs a place for a moment only.
func TestAPodThatLeavesWhileItWaitsIsReadBeforeThoseThatRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t)
		c.show(pod("web-2", running("2")), pod("web-3", running("3")))
		c.source.snapshots <- podlog.Snapshot{Pods: []podlog.Pod{c.first, pod("web-2", running("2"))}, Left: []string{"uid-web-3"}}
		synctest.Wait()
		c.end(0)
		c.source.snapshots <- podlog.Snapshot{Pods: []podlog.Pod{c.first, pod("web-2", running("2"))}, Left: []string{"uid-web-3"}}
		got := c.read()
		if !slices.Contains(got.notices, "ENDED web-3/app: its pod does not match app=web any more") ||
			!slices.Contains(got.lines, "web-3/app: web-3") || !slices.Contains(got.lines, "web-2/app: web-2") {
			t.Errorf("got %q, %q", got.lines, got.notices)
		}
		c.source.mu.Lock()
		defer c.source.mu.Unlock()
		opened := func(name string) int {
			return slices.IndexFunc(c.source.requests, func(req podlog.LogRequest) bool { return req.Pod == name })
		}
		if opened("web-3") > opened("web-2") {
			t.Error("it was read after the other one")
		}
	})
}
