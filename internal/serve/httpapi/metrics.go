package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics makes metrics and registers them.
type metrics struct{ factory promauto.Factory }

func newMetrics(r prometheus.Registerer) metrics { return metrics{promauto.With(r)} }

func (m metrics) gauge(name, help string) prometheus.Gauge {
	return m.factory.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func (m metrics) counter(name, help string) prometheus.Counter {
	return m.factory.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

func (m metrics) counters(name, label, help string) *prometheus.CounterVec {
	return m.factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
}

// writes is for the time that a connection takes to accept what is written to it.
func (m metrics) writes(name, help string) prometheus.Histogram {
	return m.factory.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: []float64{.00001, .0001, .001, .01, .1, 1, 10},
	})
}
