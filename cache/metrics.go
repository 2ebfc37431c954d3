package cache

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of the cache. The share of reads that need no load is
// 1 - pullwatch_cache_reads_total{tier="kubernetes"} / pullwatch_cache_reads_total.
type Metrics struct {
	reads      [kinds][tiers]prometheus.Counter
	age        [kinds]prometheus.Observer
	loads      [tiers]prometheus.Observer
	unreadable [kinds]prometheus.Counter
	writes     *prometheus.CounterVec
}

// NewMetrics returns Metrics that are registered with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	seconds := []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 15}
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_cache_reads_total",
		Help: "Reads of a list of pulls, by list (active, failed) and by tier that answered: memory, redis, watch " +
			"(this replica's own knowledge), kubernetes (it was loaded), stale (older than it should be, for want of " +
			"a newer one). Hits are all but kubernetes.",
	}, []string{"list", "tier"})
	age := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "pullwatch_cache_served_age_seconds",
		Help:    "How long ago a list that was answered with was last known to be true, by list.",
		Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600},
	}, []string{"list"})
	loads := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "pullwatch_cache_load_seconds",
		Help:    "Time to get both lists from a tier (redis, watch, kubernetes) when it had them.",
		Buckets: seconds,
	}, []string{"tier"})
	unreadable := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_cache_unreadable_total",
		Help: "Lists in Redis that could not be read and were removed, by list.",
	}, []string{"list"})
	m := &Metrics{writes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_cache_writes_total",
		Help: "Writes of a list to Redis, by list and by result: stored, renewed (unchanged), superseded (a newer one " +
			"is there), failed.",
	}, []string{"list", "result"})}
	r.MustRegister(reads, age, loads, unreadable, m.writes)
	for k := range kinds {
		for t := range tiers {
			m.reads[k][t] = reads.WithLabelValues(k.String(), t.String())
		}
		m.age[k] = age.WithLabelValues(k.String())
		m.unreadable[k] = unreadable.WithLabelValues(k.String())
	}
	for _, t := range []tier{tierRedis, tierWatch, tierKubernetes} {
		m.loads[t] = loads.WithLabelValues(t.String())
	}
	return m
}

func (m *Metrics) read(k kind, from tier, age time.Duration) {
	m.reads[k][from].Inc()
	m.age[k].Observe(age.Seconds())
}

func (m *Metrics) loaded(from tier, began time.Time) {
	m.loads[from].Observe(time.Since(began).Seconds())
}

func (m *Metrics) wrote(k kind, result string) { m.writes.WithLabelValues(k.String(), result).Inc() }
