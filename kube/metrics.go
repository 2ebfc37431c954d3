package kube

import (
	"github.com/prometheus/client_golang/prometheus"
)

// RegisterMetrics registers with r what an operator wants to know of the watch and the leader.
func RegisterMetrics(r prometheus.Registerer, watch *Watch, leader *Leader) {
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	t := watch.tracker
	size := func(s set) func() float64 {
		return func() float64 {
			t.mu.Lock()
			defer t.mu.Unlock()
			return float64(len(s))
		}
	}
	const pulls, pullsHelp = "pullwatch_pulls", "Pulls whose Jobs exist, by state: active ones have not ended, and queued ones are those of them that wait for a free slot."
	gauge(pulls, pullsHelp, prometheus.Labels{"state": "active"}, size(t.active))
	gauge(pulls, pullsHelp, prometheus.Labels{"state": "queued"}, size(t.queued))
	gauge(pulls, pullsHelp, prometheus.Labels{"state": "failed"}, size(t.failed))
	gauge(pulls, pullsHelp, prometheus.Labels{"state": "succeeded"}, size(t.succeeded))
	gauge("pullwatch_leader", "1 on the replica that holds the Lease, 0 on all others.", nil, func() float64 { return truth(leader.Leads()) })
	for _, k := range []*watched{watch.jobs, watch.pods} {
		labels := prometheus.Labels{"resource": k.name}
		gauge("pullwatch_watch_open", "1 while the watch of a resource is open, 0 while it is being taken up again.", labels, func() float64 { return truth(k.live()) })
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "pullwatch_watch_opens_total", Help: "How often the watch of a resource was opened; API servers end each after some minutes.", ConstLabels: labels,
		}, func() float64 { return float64(k.opens.Load()) }))
	}
}
