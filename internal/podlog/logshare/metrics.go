package logshare

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts watches and logs that are shared.
type Metrics struct {
	watches, shared, private, readers, ringBytes prometheus.Gauge
	watchesSaved, logsSaved, overruns            prometheus.Counter
}

// NewMetrics returns Metrics that are registered with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	const prefix = "pullwatch_podlog_"
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
		r.MustRegister(g)
		return g
	}
	upstreams := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: prefix + "upstreams",
		Help: "Requests for logs that are open, by kind: shared (the first for its run of a container), private (of a " +
			"reader whose position the shared one does not have, or that cannot be shared).",
	}, []string{"kind"})
	saved := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "requests_saved_total",
		Help: "Requests that did not have to be made because another one could be shared, by kind: watch (for pods), log.",
	}, []string{"kind"})
	overruns := prometheus.NewCounter(prometheus.CounterOpts{
		Name: prefix + "overruns_total",
		Help: "How often a reader of a shared log fell so far behind the fastest one that it had to open the log anew.",
	})
	r.MustRegister(upstreams, saved, overruns)
	return &Metrics{
		watches:      gauge("watches", "Watches for the pods whose logs are streamed that are open."),
		readers:      gauge("readers", "Readers of logs that can be shared."),
		ringBytes:    gauge("ring_bytes", "Bytes that are kept of shared logs, the index of their lines included."),
		shared:       upstreams.WithLabelValues("shared"),
		private:      upstreams.WithLabelValues("private"),
		watchesSaved: saved.WithLabelValues("watch"),
		logsSaved:    saved.WithLabelValues("log"),
		overruns:     overruns,
	}
}
