package podlog

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pullwatch/usererr"
)

func TestTooManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streamer := New(Options{
			Source: newWorld(1), Metrics: NewMetrics(prometheus.NewRegistry()), MaxStreams: 2,
			Log: slog.New(slog.DiscardHandler),
		})
		in := Input{Namespace: "default", Job: ptr("copy"), Follow: true}
		var streams []*Stream
		for range 2 {
			st, err := streamer.Stream(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			streams = append(streams, st)
		}
		if _, err := streamer.Stream(t.Context(), in); usererr.CodeOf(err) != usererr.LimitExceeded {
			t.Errorf("got %v", err)
		}
		if n := testutil.ToFloat64(streamer.Metrics.streams); n != 2 {
			t.Errorf("%v streams are counted as open", n)
		}
		streams[0].Close()
		st, err := streamer.Stream(t.Context(), in)
		if err != nil {
			t.Fatalf("after one was closed: %v", err)
		}
		st.Close()
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource(replies(map[string][]reply{"web/app": {
			ok(broken, at(0, "a")+at(1, "b")), ok(text, at(500, "c")),
		}}), Snapshot{Empty: "no pod yet"})
		streamer := newTestStreamer(source)
		st, err := streamer.Stream(t.Context(), Input{Namespace: "default", Job: ptr("copy"), Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		go func() {
			pass(3 * time.Second)
			source.snapshots <- Snapshot{Pods: []Pod{finished(pod("web", ended("1", 0, "")))}, Final: true}
		}()
		if _, err := readAll(t, st); err != nil {
			t.Fatal(err)
		}
		m := streamer.Metrics
		for name, counter := range map[string]struct {
			prometheus.Collector
			want float64
		}{
			"lines":   {m.lines, 3},
			"bytes":   {m.bytes, 3},
			"reopens": {m.reopened.WithLabelValues(reopenError), 1},
			"gaps":    {m.gaps.WithLabelValues(gapRotated), 1},
			"logs":    {m.logs, 0},
		} {
			if got := testutil.ToFloat64(counter); got != counter.want {
				t.Errorf("%s: got %v, want %v", name, got, counter.want)
			}
		}
	})
}
