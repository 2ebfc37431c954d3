package feed

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/pull"
)

// RegisterStream registers with r what an operator wants to know of the shared log.
func (s *Stream) RegisterStream(r prometheus.Registerer) {
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
		_, place := s.sharedPlace()
		return float64(place)
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

// Register registers with r how many pulls and subscriptions there are.
func (h *Hub) Register(r prometheus.Registerer) { r.MustRegister(census{h}) }

// census counts the pulls of a Hub and who reads them.
type census struct{ hub *Hub }

var (
	pullsDescription = prometheus.NewDesc("pullwatch_pulls",
		"Pulls whose Jobs exist, by state: active ones have not ended, and queued ones are those of them that wait for a free slot.",
		[]string{"state"}, nil)
	subscriptionsDescription = prometheus.NewDesc("pullwatch_update_subscriptions",
		"Subscriptions to updates of pulls that are open.", nil, nil)
	conflatedDescription = prometheus.NewDesc("pullwatch_updates_conflated_total",
		"States of pulls that a subscription did not get because the next one of the same pull came before it was ready for it.", nil, nil)
)

// Describe implements prometheus.Collector.
func (census) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- pullsDescription
	descriptions <- subscriptionsDescription
	descriptions <- conflatedDescription
}

// Collect implements prometheus.Collector.
func (c census) Collect(metrics chan<- prometheus.Metric) {
	counts := map[string]int{"active": 0, "failed": 0, "succeeded": 0}
	c.hub.mu.Lock()
	counts["queued"] = len(c.hub.queued)
	for _, k := range c.hub.latest {
		switch {
		case k.gone:
		case !k.job.Phase.Final():
			counts["active"]++
		case k.job.Phase == pull.Failed:
			counts["failed"]++
		case k.job.Phase == pull.Succeeded:
			counts["succeeded"]++
		}
	}
	subscriptions, conflated := c.hub.subscriptions, c.hub.conflated
	c.hub.mu.Unlock()
	metrics <- prometheus.MustNewConstMetric(subscriptionsDescription, prometheus.GaugeValue, float64(subscriptions))
	metrics <- prometheus.MustNewConstMetric(conflatedDescription, prometheus.CounterValue, float64(conflated))
	for state, n := range counts {
		metrics <- prometheus.MustNewConstMetric(pullsDescription, prometheus.GaugeValue, float64(n), state)
	}
}
