package podlog

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A label that moves from pod to pod, such as role=leader, makes a selector lose a pod and find it again.
func TestPodThatMatchesAgainGoesOn(t *testing.T) {
	for _, absences := range []int{1, 2} {
		t.Run(fmt.Sprint(absences), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opened atomic.Int32
				source := newFakeSource(func(LogRequest) (io.ReadCloser, error) {
					if opened.Add(1) == 1 {
						return hanging(at(0, "a") + at(1, "b")), nil
					}
					return hanging(at(0, "a") + at(1, "b") + at(2000, "c")), nil
				}, pods(pod("web", running("1"))))
				st := startStream(t, source, Input{Namespace: "default", Selector: ptr("role=leader"), Follow: true})
				var lines []string
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for {
						batch, err := st.Next(t.Context())
						if err != nil {
							return
						}
						for _, line := range batch.Lines {
							lines = append(lines, line.Message)
						}
					}
				}()
				pass(time.Minute)
				for range absences {
					source.snapshots <- pods()
					pass(time.Minute)
				}
				source.snapshots <- pods(pod("web", running("1")))
				pass(time.Minute)
				st.Close()
				<-ended
				if want := []string{"a", "b", "c"}; !slices.Equal(lines, want) {
					t.Errorf("got %q, want %q", lines, want)
				}
			})
		})
	}
}
