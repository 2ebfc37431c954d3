package sharedlog

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers the metrics of the shared log with r.
func (s *Stream) Register(r prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("pullwatch_stream_live", "1 while the shared log in Redis is read and some replica leads, 0 while this replica watches the cluster for itself.", func() float64 {
		if s.Live() {
			return 1
		}
		return 0
	})
	gauge("pullwatch_stream_position", "Place in the shared log up to which this replica has read; the same on all replicas when none lags.", func() float64 {
		_, offset := s.hub.LogOffset()
		return float64(offset)
	})
	gauge("pullwatch_stream_lag_seconds", "How long ago the last entry that was read had been appended, when it was read; by the clocks of two replicas.", func() float64 {
		return time.Duration(s.lag.Load()).Seconds()
	})
	gauge("pullwatch_stream_pending", "Pulls whose latest state waits to be appended to the shared log.", func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(len(s.pending.order))
	})
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "pullwatch_stream_attachments_total",
		Help: "How often the shared log was loaded and followed from there: once at the start, and once more each time that it was lost.",
	}, func() float64 { return float64(s.attachments.Load()) }))
}
