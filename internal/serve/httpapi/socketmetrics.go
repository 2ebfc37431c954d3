package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/graphqlws"
	"pullwatch/internal/usererr"
)

// socketMetrics counts WebSockets and their messages. It is a graphqlws.Observer.
type socketMetrics struct {
	errors          *executor.Errors
	active          prometheus.Gauge
	operations      prometheus.Gauge
	closed, refused *prometheus.CounterVec
	in, out         traffic
	writes          prometheus.Histogram
	// slow and waiting are about clients that do not keep up.
	slow, waiting prometheus.Gauge
}

// traffic counts messages in one direction.
type traffic struct{ messages, bytes prometheus.Counter }

func (t traffic) add(messages, bytes int) {
	t.messages.Add(float64(messages))
	t.bytes.Add(float64(bytes))
}

var _ graphqlws.Observer = (*socketMetrics)(nil)

func newSocketMetrics(r prometheus.Registerer, errors *executor.Errors) *socketMetrics {
	metrics := newMetrics(r)
	messages := metrics.counters("pullwatch_ws_messages_total", "direction",
		"WebSocket messages, by direction (in: from clients, out: to them).")
	bytes := metrics.counters("pullwatch_ws_bytes_total", "direction",
		"Bytes of WebSocket messages, by direction (in: from clients, out: to them).")
	return &socketMetrics{
		errors:     errors,
		in:         traffic{messages.WithLabelValues("in"), bytes.WithLabelValues("in")},
		out:        traffic{messages.WithLabelValues("out"), bytes.WithLabelValues("out")},
		active:     metrics.gauge("pullwatch_active_ws_connections", "WebSocket connections that are open."),
		operations: metrics.gauge("pullwatch_ws_operations", "Operations that run over WebSockets."),
		closed: metrics.counters("pullwatch_ws_closed_total", "code",
			"WebSocket connections that ended, by close code: that of whoever closed first, 1006 when nobody did."),
		refused: metrics.counters("pullwatch_ws_refused_total", "status",
			"Requests for a WebSocket that were answered with an HTTP status instead."),
		writes: metrics.writes("pullwatch_ws_write_seconds", "Time that a connection took to accept what was written to it at once."),
		slow: metrics.gauge("pullwatch_ws_slow_connections",
			"WebSocket connections whose clients have not yet taken what was sent to them."),
		waiting: metrics.gauge("pullwatch_ws_waiting_bytes", "Bytes that wait for these clients."),
	}
}

// ConnectionOpened implements graphqlws.Observer, as do the following methods.
func (m *socketMetrics) ConnectionOpened() { m.active.Inc() }

func (m *socketMetrics) ConnectionRefused(status int) {
	m.refused.WithLabelValues(strconv.Itoa(status)).Inc()
}

func (m *socketMetrics) ConnectionClosed(code int, _ string) {
	m.active.Dec()
	if code < 1000 || (code > 1015 && code < 4400) || code > 4499 {
		code = 0 // a client can send any code, but labels must be few
	}
	m.closed.WithLabelValues(strconv.Itoa(code)).Inc()
}

func (m *socketMetrics) OperationStarted() { m.operations.Inc() }

func (m *socketMetrics) OperationEnded() { m.operations.Dec() }

func (m *socketMetrics) OperationRefused(code usererr.Code) { m.errors.Count(code) }

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
