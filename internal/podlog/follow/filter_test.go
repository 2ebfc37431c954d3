package follow

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/turns"
)

func TestSimpleExpressionsDoNotWaitForLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		streamer := newTestStreamer(newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return r, nil },
			pods(pod("web", running("1")))))
		streamer.Turns = turns.New(1)
		in := podInput()
		in.Include = ptr(`\b5\d\d\b`)
		st, err := streamer.Stream(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		if _, err := streamer.Turns.Take(t.Context(), "other"); err != nil { // for ever
			t.Fatal(err)
		}
		go io.WriteString(w, at(0, "GET /a 200")+at(1, "GET /b 500"))
		for {
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(batch.Lines) > 0 {
				break
			}
		}
	})
}

func TestAWaitingStreamLeavesItsTurnToOthers(t *testing.T) {
	for _, test := range []struct {
		name, message string
		lines         int
	}{
		{"for lines", strings.Repeat("x", 1000), 100},
		{"for its reader", strings.Repeat("x", 1000), 3000},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				for i := range test.lines {
					log.WriteString(at(i, test.message))
				}
				streamer := newTestStreamer(newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) {
					return hanging(log.String()), nil
				}, pods(pod("web", running("1")))))
				streamer.Turns = turns.New(1)
				in := podInput()
				in.Include = ptr(`x(?:y?){20}x`)
				st, err := streamer.Stream(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				defer st.Close()
				elapse(time.Minute)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				end, err := streamer.Turns.Take(ctx, "other")
				if err != nil {
					t.Fatal("the turn is kept")
				}
				end()
			})
		})
	}
}
