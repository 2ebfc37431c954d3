package logshare

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// Streams of one log that cut lines at different lengths share its requests, and go on from each other's cursors.
func TestStreamsWithDifferentMaxLineBytesShareALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sizes := []int{0, 3, 70_000, 270_000, 1000, 65_536, 65_537}
		c := newCluster()
		write := func() {
			for _, n := range sizes {
				c.write(record{time: time.Now(), text: strings.Repeat("x", n)})
				time.Sleep(100 * time.Millisecond)
			}
		}
		c.show(container(podlog.Run{ID: "1", Running: true}))
		streamer := newStreamer(newTestSource(c))
		limits := []int{1, 1000, 65_536, 65_537, 150_000, podlog.MaxLineBytes}
		cursors := make([]string, len(limits))
		read := func(i int, after *string, limit int) {
			in := podlog.Input{Namespace: "default", Pod: &target.Pod, Follow: true, MaxLineBytes: &limit, After: after}
			stream, err := streamer.Stream(t.Context(), in)
			if err != nil {
				t.Error(err)
				return
			}
			defer stream.Close()
			for got := 0; got < len(sizes); {
				batch, err := stream.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for _, line := range batch.Lines {
					if n := len(line.Message); n != min(sizes[got], limit) || n+line.TruncatedBytes != sizes[got] {
						t.Errorf("maxLineBytes %d: line %d of %d bytes has %d, and %d cut off", limit, got, sizes[got], n, line.TruncatedBytes)
					}
					got++
				}
				for _, n := range batch.Notices {
					if n.Kind == podlog.Gap || n.Kind == podlog.Dropped {
						t.Errorf("maxLineBytes %d: %s: %s", limit, n.Kind, n.Message)
					}
				}
				cursors[i] = batch.Cursor
			}
		}
		var views sync.WaitGroup
		for i, limit := range limits {
			views.Go(func() { read(i, nil, limit) })
		}
		wantRequests(t, c, 1, 1)
		write()
		views.Wait()
		for i := range limits {
			views.Go(func() { read(i, &cursors[i], limits[(i+1)%len(limits)]) })
		}
		synctest.Wait()
		write()
		views.Wait()
		if opened, open := c.counts(); opened != 2 || open != 0 {
			t.Errorf("%d requests were made, and %d are open", opened, open)
		}
	})
}
