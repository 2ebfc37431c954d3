package feed

import (
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/pull"
)

// Register registers the metrics of the Hub with r: how many pulls and subscriptions there are.
func (h *Hub) Register(r prometheus.Registerer) { r.MustRegister(census{h}) }

// census counts the pulls and the subscriptions of a Hub.
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
		case k.retired:
		case !k.state.Phase.Final():
			counts["active"]++
		case k.state.Phase == pull.Failed:
			counts["failed"]++
		case k.state.Phase == pull.Succeeded:
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
