package follow

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/podlog/queue"
)

// A label that moves from pod to pod, such as role=leader, makes a selector lose a pod and find it again.
func TestAPodThatMatchesAgainIsReadOn(t *testing.T) {
	for _, absences := range []int{1, 2} {
		t.Run(fmt.Sprint(absences), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opened atomic.Int32
				source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
					if opened.Add(1) == 1 {
						return hanging(at(0, "a") + at(1, "b")), nil
					}
					return hanging(at(0, "a") + at(1, "b") + at(2000, "c")), nil
				}, pods(pod("web", running("1"))))
				st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("role=leader"), Follow: true})
				var told []string
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for {
						batch, err := st.Next(t.Context())
						if err != nil {
							return
						}
						for _, notice := range batch.Notices {
							told = append(told, string(notice.Kind))
						}
						for _, line := range batch.Lines {
							told = append(told, line.Message)
						}
					}
				}()
				elapse(time.Minute)
				for range absences {
					source.snapshots <- pods()
					elapse(time.Minute)
				}
				source.snapshots <- pods(pod("web", running("1")))
				elapse(time.Minute)
				st.Close()
				<-ended
				if want := []string{"STARTED", "a", "b", "GAP", "ENDED", "RESUMED", "c"}; !slices.Equal(told, want) {
					t.Errorf("got %q, want %q", told, want)
				}
			})
		})
	}
}

// The pod comes back while its follower, which has seen that the pod is gone, waits for room to send the notice.
func TestAPodThatMatchesAgainBeforeItsFollowerEndedIsReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int32
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
			if opened.Add(1) == 1 {
				return hanging(at(0, "a")), nil
			}
			return hanging(at(0, "a") + at(2000, "b")), nil
		}, pods(pod("web", running("1"))))
		st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("role=leader"), Follow: true})
		synctest.Wait()
		fillQueue(st.queue)
		source.snapshots <- pods()
		elapse(time.Minute)
		source.snapshots <- pods(pod("web", running("1")))
		synctest.Wait()
		var got events
		for len(got.lines) < 2 {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got.add(batch)
		}
		if want := []string{"web/app: a", "web/app: b"}; !slices.Equal(got.lines, want) {
			t.Errorf("got %q, want %q", got.lines, want)
		}
		ended := "ENDED web/app: its pod was deleted"
		got.notices = slices.DeleteFunc(got.notices, func(n string) bool { return strings.HasPrefix(n, "WAITING stream: x") })
		if want := []string{started, unread, ended, resumed}; !slices.Equal(got.notices, want) {
			t.Errorf("notices: %q", got.notices)
		}
	})
}

// A request says that the pod is gone. The follower does not ask again until the watch shows that.
func TestADeletedPodIsAskedForItsLogOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int32
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
			opened.Add(1)
			return nil, podlog.ErrGone
		}, pods(pod("web", running("1"))))
		st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("role=leader"), Follow: true})
		elapse(time.Minute)
		if n := opened.Load(); n != 1 {
			t.Errorf("it was asked for %d times", n)
		}
		source.snapshots <- pods()
		elapse(time.Minute)
		batch, err := next(t, st)
		if err != nil {
			t.Fatal(err)
		}
		var got events
		got.add(batch)
		if want := []string{unread, "ENDED web/app: its pod was deleted"}; !slices.Equal(got.notices, want) {
			t.Errorf("notices: %q", got.notices)
		}
	})
}

// fillQueue leaves no room in a queue until the reader has taken something.
func fillQueue(q *queue.Queue) {
	c := q.Add(0, "", "filling", cursor.Progress{})
	for n := podlog.MaxWaiting; n > 0; n /= 2 {
		notice := podlog.Notice{Kind: podlog.Waiting, Message: strings.Repeat("x", n)}
		for q.TryPush(c, queue.NewNotice(notice, cursor.Progress{})) {
		}
	}
}

// There is no room for the notice yet when the client loses its connection.
func TestTheEndOfAContainerThatNeverRanIsToldBehindAnyCursor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := podlog.Container{Name: "app", Waiting: "ContainerCreating"}
		failedPod := failed(pod("web", podlog.Container{Name: "app", NeverRan: "Evicted"}), "Evicted")
		source := newFakeSource(nil, pods(pod("web", waits)))
		in := podlog.Input{Namespace: "default", Selector: ptr("app=web"), Follow: true}
		st := startStream(t, source, in)
		if _, err := next(t, st); err != nil { // WAITING
			t.Fatal(err)
		}
		// More than fits into a batch waits.
		filling := st.queue.Add(0, "", "filling", cursor.Progress{})
		for st.queue.TryPush(filling, queue.NewNotice(podlog.Notice{Kind: podlog.Waiting}, cursor.Progress{})) {
		}
		source.snapshots <- pods(failedPod)
		synctest.Wait()
		batch, err := next(t, st)
		if err != nil {
			t.Fatal(err)
		}
		st.Close()
		var got events
		got.add(batch)
		in.After = &batch.Cursor
		again := startStream(t, newFakeSource(nil, pods(failedPod)), in)
		for {
			batch, err := next(t, again)
			if err != nil {
				break
			}
			got.add(batch)
		}
		if !slices.Contains(got.notices, "ENDED web/app: it has never run: Evicted") {
			t.Error("it was not told")
		}
	})
}
