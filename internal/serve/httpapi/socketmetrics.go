package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/graphqlws"
	"pullwatch/internal/usererr"
)

// writeBuckets are for the time that a connection takes to accept what is written to it.
var writeBuckets = []float64{.00001, .0001, .001, .01, .1, 1, 10}

// socketMetrics counts WebSockets and what goes over them. It is a graphqlws.Observer.
type socketMetrics struct {
	errors          *executor.Errors
	active          prometheus.Gauge
	operations      prometheus.Gauge
	closed, refused *prometheus.CounterVec
	in, out         traffic
	writes          prometheus.Histogram
	// slow and waiting are of peers that do not keep up.
	slow, waiting prometheus.Gauge
}

// traffic is what goes in one direction.
type traffic struct{ messages, bytes prometheus.Counter }

func (t traffic) add(messages, bytes int) {
	t.messages.Add(float64(messages))
	t.bytes.Add(float64(bytes))
}

var _ graphqlws.Observer = (*socketMetrics)(nil)

func newSocketMetrics(r prometheus.Registerer, errors *executor.Errors) *socketMetrics {
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_ws_messages_total",
		Help: "WebSocket messages, by direction (in: from clients, out: to them).",
	}, []string{"direction"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pullwatch_ws_bytes_total",
		Help: "Bytes of WebSocket messages, by direction (in: from clients, out: to them).",
	}, []string{"direction"})
	m := &socketMetrics{
		errors: errors,
		in:     traffic{messages.WithLabelValues("in"), bytes.WithLabelValues("in")},
		out:    traffic{messages.WithLabelValues("out"), bytes.WithLabelValues("out")},
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pullwatch_active_ws_connections",
			Help: "WebSocket connections that are open.",
		}),
		operations: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pullwatch_ws_operations",
			Help: "Operations that run over WebSockets.",
		}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_ws_closed_total",
			Help: "WebSocket connections that ended, by close code: that of whoever closed first, 1006 when nobody did.",
		}, []string{"code"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_ws_refused_total",
			Help: "Requests for a WebSocket that were answered with an HTTP status instead.",
		}, []string{"status"}),
		writes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pullwatch_ws_write_seconds",
			Help:    "Time that a connection took to accept what was written to it at once.",
			Buckets: writeBuckets,
		}),
		slow: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pullwatch_ws_slow_connections",
			Help: "WebSocket connections whose clients have not yet taken what was sent to them.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pullwatch_ws_waiting_bytes",
			Help: "Bytes that wait for these clients.",
		}),
	}
	r.MustRegister(m.active, m.operations, m.closed, m.refused, messages, bytes, m.writes, m.slow, m.waiting)
	return m
}

// ConnectionOpened implements graphqlws.Observer, as do the following methods.
func (m *socketMetrics) ConnectionOpened() { m.active.Inc() }

func (m *socketMetrics) ConnectionRefused(status int) {
	m.refused.WithLabelValues(strconv.Itoa(status)).Inc()
}

func (m *socketMetrics) ConnectionClosed(code int, _ string) {
	m.active.Dec()
	if code < 1000 || (code > 1015 && code < 4400) || code > 4499 {
		code = 0 // a client can make up any code
	}
	m.closed.WithLabelValues(strconv.Itoa(code)).Inc()
}

func (m *socketMetrics) OperationStarted() { m.operations.Inc() }

func (m *socketMetrics) OperationEnded() { m.operations.Dec() }

func (m *socketMetrics) OperationRefused(code string) { m.errors.Count(usererr.Code(code)) }

func (m *socketMetrics) Received(bytes int) {
	m.in.add(1, bytes)
}

func (m *socketMetrics) Sent(messages, bytes int, took time.Duration) {
	m.out.add(messages, bytes)
	m.writes.Observe(took.Seconds())
}

func (m *socketMetrics) Waiting(connections, bytes int) {
	m.slow.Add(float64(connections))
	m.waiting.Add(float64(bytes))
}
