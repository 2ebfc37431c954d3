package follow

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

func TestStreamsAboveTheLimitAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streamer := New(Options{
			Source: newWorld(1), Metrics: NewMetrics(prometheus.NewRegistry()), MaxStreams: 2,
			Log: slog.New(slog.DiscardHandler),
		})
		in := podlog.Input{Namespace: "default", Job: ptr("copy"), Follow: true}
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

// emptySource has no pods.
type emptySource struct{ podlog.Source }

func (emptySource) WatchPods(ctx context.Context, _ podlog.Target, deliver func(podlog.Snapshot)) error {
	deliver(podlog.Snapshot{Empty: "no pod matches"})
	<-ctx.Done()
	return ctx.Err()
}

func TestStreamsAboveTheLimitOfACallerAreRefused(t *testing.T) {
	streamer := newTestStreamer(emptySource{})
	streamer.MaxStreams, streamer.MaxCallerStreams = 5, 2
	input := func(caller string) podlog.Input {
		return podlog.Input{Namespace: "default", Selector: ptr("app=web"), Follow: true, Caller: caller}
	}
	opens := func(caller string) *Stream {
		t.Helper()
		st, err := streamer.Stream(t.Context(), input(caller))
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	fails := func(ctx context.Context, in podlog.Input, says string) {
		t.Helper()
		if st, err := streamer.Stream(ctx, in); err == nil {
			st.Close()
			t.Errorf("a stream was opened, not refused with %q", says)
		} else if !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, not %q", err, says)
		}
	}
	const ofCaller, ofServer = "2 streams of logs are open for this caller", "as many as this server allows"

	first := opens("a")
	defer opens("a").Close()
	fails(t.Context(), input("a"), ofCaller)
	defer opens("b").Close()
	// The empty caller has no limit of its own.
	unknown := []*Stream{opens(""), opens("")}
	fails(t.Context(), input("a"), ofCaller)
	fails(t.Context(), input("b"), ofServer)
	for limit, want := range map[string]float64{limitCaller: 2, limitTotal: 1} {
		if got := testutil.ToFloat64(streamer.Metrics.refused.WithLabelValues(limit)); got != want {
			t.Errorf("%v streams are counted as refused by the limit %q, not %v", got, limit, want)
		}
	}

	first.Close()
	first.Close()
	for _, st := range unknown {
		st.Close()
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	pod := input("a")
	pod.Selector, pod.Pod = nil, ptr("web")
	for range 3 {
		fails(t.Context(), pod, "no pod web")
		fails(t.Context(), podlog.Input{Caller: "a"}, "namespace")
		fails(canceled, input("a"), context.Canceled.Error())
	}
	defer opens("a").Close()
	fails(t.Context(), input("a"), ofCaller)
}

func TestMetricsCountLinesReopensAndGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource(replies(map[string][]reply{"web/app": {
			ok(broken, at(0, "a")+at(1, "b")), ok(text, at(500, "c")),
		}}), podlog.Snapshot{Empty: "no pod yet"})
		streamer, registry := newTestStreamer(source), prometheus.NewRegistry()
		streamer.Metrics = NewMetrics(registry)
		st, err := streamer.Stream(t.Context(), podlog.Input{Namespace: "default", Job: ptr("copy"), Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		go func() {
			elapse(3 * time.Second)
			source.snapshots <- podlog.Snapshot{Pods: []podlog.Pod{finished(pod("web", ended("1", 0, "")))}, Final: true}
		}()
		if _, err := readAll(t, st); err != nil {
			t.Fatal(err)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			for _, metric := range family.Metric {
				name := strings.TrimPrefix(family.GetName(), "pullwatch_podlog_")
				for _, label := range metric.Label {
					name += " " + label.GetValue()
				}
				got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"lines_total": 3, "message_bytes_total": 3, "reopens_total error": 1, "gaps_total rotated": 1, "open_logs": 0,
		} {
			if value, ok := got[name]; !ok || value != want {
				t.Errorf("%s: got %v, want %v", name, value, want)
			}
		}
	})
}
