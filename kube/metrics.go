package kube

import (
	"github.com/prometheus/client_golang/prometheus"
)

// RegisterMetrics registers with r the metrics of the watch and of this replica's role.
func RegisterMetrics(r prometheus.Registerer, watch *Watch, role *Role) {
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	gauge("pullwatch_leader", "1 on the replica that holds the Lease, 0 on all others.", nil, func() float64 { return truth(role.Leads()) })
	gauge("pullwatch_queue_paused", "1 while somebody has paused the queue, 0 while queued pulls start as slots become free.", nil, func() float64 {
		state, _ := role.lease.queue()
		return truth(state.Paused != nil)
	})
	for _, k := range []*watched{watch.jobs, watch.pods} {
		labels := prometheus.Labels{"resource": k.name}
		gauge("pullwatch_watch_open", "1 while the watch of a resource is open, 0 while it is being taken up again or this replica does not watch.", labels, func() float64 { return truth(k.live()) })
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "pullwatch_watch_opens_total", Help: "How often the watch of a resource was opened; API servers end each after some minutes.", ConstLabels: labels,
		}, func() float64 { return float64(k.opens.Load()) }))
	}
}

// Register registers with r the number of pulls that a full queue refused.
func (p *Pulls) Register(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "pullwatch_pulls_refused_total",
		Help: "Pulls that were not started because as many waited in the queue as may.",
	}, func() float64 { return float64(p.admission.refused.Load()) }))
}
