package render

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what is rendered and what is saved.
type Metrics struct {
	registerer         prometheus.Registerer
	responses, updates kind
	passed             prometheus.Counter // responses that cannot be shared
}

// kind are the metrics of one kind of what is rendered.
type kind struct {
	hits, rendered prometheus.Counter
	seconds        prometheus.Observer
}

// NewMetrics registers the metrics of a Renderer with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	answers := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_render_total",
		Help: "Responses to queries and updates to subscriptions, by what was done for them: hit (written from memory), " +
			"rendered (executed, and kept), passed (executed, and not to be kept).",
	}, []string{"kind", "result"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "pullwatch_marshal_seconds",
		Help:    "Time to execute and encode what was rendered.",
		Buckets: []float64{.00005, .0001, .0005, .001, .005, .01, .05, .1, .5, 1},
	}, []string{"kind"})
	r.MustRegister(answers, seconds)
	of := func(name string) kind {
		return kind{
			hits: answers.WithLabelValues(name, "hit"), rendered: answers.WithLabelValues(name, "rendered"),
			seconds: seconds.WithLabelValues(name),
		}
	}
	return &Metrics{
		registerer: r, responses: of("response"), updates: of("update"), passed: answers.WithLabelValues("response", "passed"),
	}
}

// observe registers what can be told at any moment.
func (m *Metrics) observe(r *Renderer) {
	for name, weight := range map[string]func() int{"response": r.responses.Weight, "update": r.updates.kept.Weight} {
		m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "pullwatch_render_bytes", Help: "Bytes of memory that rendered responses and updates take.",
			ConstLabels: prometheus.Labels{"kind": name},
		}, func() float64 { return float64(weight()) }))
	}
}
