package logshare

import (
	"context"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog"
)

func TestMetricsOfOpenThingsReturnToZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		c := newCluster()
		c.write(lines(0, 100, time.Second)...)
		s := New(c, NewMetrics(registry), nil, MaxMemory)
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		for range 3 {
			watching.Go(func() { s.WatchPods(ctx, target, func(podlog.Snapshot) {}) })
		}
		logs := []io.ReadCloser{openLog(t, s, tailed(10)), openLog(t, s, tailed(10)), openLog(t, s, request())}
		synctest.Wait()
		want := map[string]float64{
			"watches": 1, "upstreams shared": 1, "upstreams private": 1, "readers": 3, "ring_bytes": float64(2 * (blockSize + lineStep*lineSize)),
			"overruns_total": 0, "requests_saved_total watch": 2, "requests_saved_total log": 1,
		}
		if got := gather(t, registry); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		for _, log := range logs {
			log.Close()
		}
		confirm(t, s, ended())
		time.Sleep(cacheLife)
		synctest.Wait()
		cancel()
		watching.Wait()
		for name, value := range gather(t, registry) {
			if !strings.Contains(name, "_total") && value != 0 {
				t.Errorf("%s is %v after all have left", name, value)
			}
		}
	})
}

// gather returns the values of all metrics by name, without the common prefix, and kind.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name, ok := strings.CutPrefix(family.GetName(), "pullwatch_podlog_")
			if !ok {
				t.Errorf("%s does not have the prefix of metrics of logs", family.GetName())
			}
			for _, label := range metric.Label {
				name += " " + label.GetValue()
			}
			values[name] = metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
		}
	}
	return values
}
