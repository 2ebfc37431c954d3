package logshare

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
)

// used returns how many bytes of a budget are used for logs. r has the budget's metrics.
func used(t *testing.T, r *prometheus.Registry) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.Metric {
			if family.GetName() == "pullwatch_memory_budget_used_bytes" && metric.Label[0].GetValue() == "logs" {
				return metric.GetGauge().GetValue()
			}
		}
	}
	t.Fatal("the budget has no gauge for logs")
	return 0
}

// All memory is given back in the end.
func TestLogsWithoutMemoryAreNotShared(t *testing.T) {
	for name, test := range map[string]struct {
		budget int64
		max    int
		shared int
	}{
		"budget": {3*minRing + 1, MaxMemory, 3},
		"cap":    {MaxMemory, 3*minRing + 1, 3},
		"none":   {MaxMemory, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				c.write(lines(0, 1, 0)...)
				registry := prometheus.NewRegistry()
				s := New(c, NewMetrics(prometheus.NewRegistry()), budget.New(test.budget, registry), test.max)
				var logs []io.ReadCloser
				for range 2 {
					for i := range 5 {
						req := request()
						req.Run = fmt.Sprint(i)
						log := openLog(t, s, req)
						wantBytes(t, log, c.truth(req, 0))
						logs = append(logs, log)
					}
				}
				wantRequests(t, c, 10-test.shared, 10-test.shared)
				if got := used(t, registry); got != float64(test.shared*minRing) {
					t.Errorf("%v bytes are used, want %d", got, test.shared*minRing)
				}
				for _, log := range logs {
					log.Close()
				}
				if got := used(t, registry); got != 0 {
					t.Errorf("%v bytes are used after all have left", got)
				}
			})
		})
	}
}

// Half of the memory stays for new rings.
func TestGrowingRingsLeaveMemoryToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		for i := range 4000 {
			c.write(record{time: time.Now(), text: fmt.Sprint(i, strings.Repeat("x", 1000))})
		}
		registry := prometheus.NewRegistry()
		const most = 8 * minRing
		s := New(c, NewMetrics(prometheus.NewRegistry()), budget.New(most, registry), most)
		for i := range 8 {
			req := request()
			req.Run = fmt.Sprint(i)
			log := openLog(t, s, req)
			wantBytes(t, log, c.truth(req, 0))
			if got := used(t, registry); got > most {
				t.Errorf("%v bytes are used of %d", got, most)
			}
		}
		if n := len(s.runs); n != 8 || s.memory.used-s.memory.grown < 4*minRing {
			t.Errorf("%d bytes are used, %d of them by rings beyond the least", s.memory.used, s.memory.grown)
		}
	})
}
