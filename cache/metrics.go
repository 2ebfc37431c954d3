package cache

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the cache does.
type Metrics struct {
	reads *prometheus.CounterVec
	loads *prometheus.HistogramVec
}

// NewMetrics returns Metrics that are registered with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_cache_reads_total",
			Help: "Reads of a list of pulls, by list (active, failed) and by result (hit: answered from memory, miss: loaded from the source).",
		}, []string{"list", "result"}),
		loads: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pullwatch_cache_load_seconds",
			Help:    "Time to load a list of pulls from its source, for readers or ahead of them, by list.",
			Buckets: []float64{.0001, .001, .01, .05, .1, .5, 1, 5, 15},
		}, []string{"list"}),
	}
	r.MustRegister(m.reads, m.loads)
	return m
}
