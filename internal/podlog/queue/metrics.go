package queue

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what queues deliver and drop.
type Metrics struct {
	lines, bytes, droppedLines prometheus.Counter
	delay                      prometheus.Observer
}

// NewMetrics returns Metrics that are registered with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "pullwatch_podlog_" + name, Help: help})
	}
	lines := counter("lines_total", "Lines that were delivered.")
	bytes := counter("message_bytes_total", "Bytes of the messages of lines that were delivered.")
	dropped := counter("dropped_lines_total", "Live lines that were dropped because their reader was too slow.")
	delay := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "pullwatch_podlog_delay_seconds",
		Help: "Time from when a live line was written, by its node's clock, to when it was handed to its reader: that of " +
			"the first such line of each batch.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	})
	r.MustRegister(lines, bytes, dropped, delay)
	return &Metrics{lines: lines, bytes: bytes, droppedLines: dropped, delay: delay}
}

func (m *Metrics) dropped(lines int) { m.droppedLines.Add(float64(lines)) }

func (m *Metrics) delivered(b *batchBuilder) {
	m.lines.Add(float64(len(b.lines)))
	m.bytes.Add(float64(b.bytes))
	if !b.oldestLive.IsZero() {
		m.delay.Observe(max(0, time.Since(b.oldestLive).Seconds()))
	}
}
