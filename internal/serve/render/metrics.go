package render

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what is rendered and what is sent from memory.
type Metrics struct {
	registerer         prometheus.Registerer
	responses, updates kind
	passed             prometheus.Counter // responses that cannot be shared
}

// kind has the metrics of responses, or of updates.
type kind struct {
	hits, rendered prometheus.Counter
	seconds        prometheus.Observer
}

// NewMetrics registers the metrics of a Renderer with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_render_total",
		Help: "Responses to queries and updates to subscriptions, by what was done for them: hit (written from memory), " +
			"rendered (executed, and kept), passed (executed, and not to be kept).",
	}, []string{"kind", "result"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "pullwatch_marshal_seconds",
		Help:    "Time to execute and encode what was rendered.",
		Buckets: []float64{.00005, .0001, .0005, .001, .005, .01, .05, .1, .5, 1},
	}, []string{"kind"})
	r.MustRegister(results, seconds)
	of := func(name string) kind {
		return kind{
			hits: results.WithLabelValues(name, "hit"), rendered: results.WithLabelValues(name, "rendered"),
			seconds: seconds.WithLabelValues(name),
		}
	}
	return &Metrics{
		registerer: r, responses: of("response"), updates: of("update"), passed: results.WithLabelValues("response", "passed"),
	}
}

// observe registers gauges of the caches.
func (m *Metrics) observe(r *Renderer) {
	for name, weight := range map[string]func() int{"response": r.responses.Weight, "update": r.updates.cache.Weight} {
		m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pullwatch_render_bytes", Help: "Bytes of memory that rendered responses and updates take.",
			ConstLabels: prometheus.Labels{"kind": name},
		}, func() float64 { return float64(weight()) }))
	}
}
