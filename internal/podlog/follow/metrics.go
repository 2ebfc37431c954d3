package follow

import (
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/podlog/queue"
)

// Metrics counts what streams do.
type Metrics struct {
	streams, logs           prometheus.Gauge
	jobWaits                prometheus.Observer
	jobTimeouts             prometheus.Counter
	reopened, gaps, refused *prometheus.CounterVec
	queue                   *queue.Metrics
}

// Limits for which streams are refused, as metrics count them.
const (
	limitCaller = "caller"
	limitTotal  = "total"
	limitMemory = "memory"
)

// NewMetrics returns Metrics that are registered with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "pullwatch_podlog_" + name, Help: help})
	}
	counters := func(name, label, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pullwatch_podlog_" + name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "pullwatch_podlog_" + name, Help: help})
	}
	streams := gauge("streams", "Streams of logs that are open.")
	logs := gauge("open_logs", "Logs of containers that streams read now.")
	waits := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "pullwatch_podlog_job_wait_seconds",
		Help:    "Time that streams of a Job without a pod waited for its first one.",
		Buckets: []float64{.1, .5, 1, 2.5, 5, 10, 20, 40, 60},
	})
	timeouts := counter("job_timeouts_total", "Streams that ended because their Job had no pod for too long.")
	m := &Metrics{
		streams: streams, logs: logs, jobWaits: waits, jobTimeouts: timeouts, queue: queue.NewMetrics(r),
		reopened: counters("reopens_total", "reason", "Logs that were opened again, by reason: end (it ended while its "+
			"container ran), error (the connection broke or was refused)."),
		gaps: counters("gaps_total", "reason", "GAP notices that were sent, by reason: rotated (the last line was not there any "+
			"more), runs (a container restarted unread), unfinished (a log could not be read to its end), pods (pods went "+
			"unread), long (filters did not look at all of a line)."),
		refused: counters("refused_total", "limit", "Streams that were refused, by the limit that they would have exceeded: "+
			"caller (one caller's streams), total (all streams), memory (that of the process, or what one caller may have of it)."),
	}
	r.MustRegister(streams, logs, waits, timeouts, m.reopened, m.gaps, m.refused)
	return m
}

func (m *Metrics) reopen(reason string) { m.reopened.WithLabelValues(reason).Inc() }

func (m *Metrics) gap(reason string) { m.gaps.WithLabelValues(reason).Inc() }

func (m *Metrics) refuse(limit string) { m.refused.WithLabelValues(limit).Inc() }

// Reasons for gaps, as metrics count them.
const (
	gapRotated    = "rotated"
	gapRuns       = "runs"
	gapUnfinished = "unfinished"
	gapPods       = "pods"
	gapLong       = "long"
)

// Reasons for opening a log again, as metrics count them.
const (
	reopenEnd   = "end"
	reopenError = "error"
)
