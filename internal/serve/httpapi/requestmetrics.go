package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/graphqlhttp"
	"pullwatch/internal/serve/trusted"
	"pullwatch/internal/usererr"
)

// requestMetrics counts responses over HTTP and streams. It is a graphqlhttp.Observer.
type requestMetrics struct {
	operations    *executor.Metrics
	errors        *executor.Errors
	documents     *trusted.Documents
	responses     *prometheus.CounterVec
	ok            prometheus.Counter // of responses, for the most frequent status
	bytes         prometheus.Counter
	streams       prometheus.Gauge
	events        prometheus.Counter
	streamedBytes prometheus.Counter
	writes        prometheus.Histogram
}

var _ graphqlhttp.Observer = (*requestMetrics)(nil)

func newRequestMetrics(o Options, operations *executor.Metrics) *requestMetrics {
	metrics := newMetrics(o.Metrics)
	m := &requestMetrics{
		operations: operations,
		errors:     o.Errors,
		documents:  o.Trusted,
		responses: metrics.counters("pullwatch_http_responses_total", "status",
			"Responses of /graphql over HTTP, by status. 304 is a query whose answer the client had already, "+
				"204 a browser that came back after the end of its stream."),
		bytes:         metrics.counter("pullwatch_http_response_bytes_total", "Bytes of these responses' bodies, compressed where they were."),
		streams:       metrics.gauge("pullwatch_active_sse_streams", "Open streams: server-sent events and multipart responses."),
		events:        metrics.counter("pullwatch_sse_events_total", "Server-sent events, and parts of multipart responses."),
		streamedBytes: metrics.counter("pullwatch_sse_bytes_total", "Bytes of server-sent events and of parts."),
		writes:        metrics.writes("pullwatch_sse_write_seconds", "Time that a connection took to accept a server-sent event or a part."),
	}
	m.ok = m.responses.WithLabelValues(strconv.Itoa(http.StatusOK))
	return m
}

// Responded implements graphqlhttp.Observer, as do the following methods.
func (m *requestMetrics) Responded(status, bytes int) {
	if status == http.StatusOK {
		m.ok.Inc()
	} else {
		m.responses.WithLabelValues(strconv.Itoa(status)).Inc()
	}
	m.bytes.Add(float64(bytes))
}

func (m *requestMetrics) Refused(code usererr.Code) { m.errors.Count(code) }

func (m *requestMetrics) Repeated(operation string, document any, took time.Duration) {
	m.operations.Repeated(operation, took)
	if trust, ok := document.(trusted.Trust); ok {
		m.documents.Count(trust)
	}
}

func (m *requestMetrics) StreamOpened() { m.streams.Inc() }

func (m *requestMetrics) StreamClosed() { m.streams.Dec() }

func (m *requestMetrics) Sent(bytes int, took time.Duration) {
	m.events.Inc()
	m.streamedBytes.Add(float64(bytes))
	m.writes.Observe(took.Seconds())
}
