package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/graphqlhttp"
	"pullwatch/internal/usererr"
)

// requestMetrics counts what goes over HTTP: responses and streams of server-sent events. It is a graphqlhttp.Observer.
type requestMetrics struct {
	operations    *executor.Metrics
	errors        *executor.Errors
	responses     *prometheus.CounterVec
	ok            prometheus.Counter // of responses, the most frequent
	bytes         prometheus.Counter
	streams       prometheus.Gauge
	events        prometheus.Counter
	streamedBytes prometheus.Counter
	writes        prometheus.Histogram
}

var _ graphqlhttp.Observer = (*requestMetrics)(nil)

func newRequestMetrics(r prometheus.Registerer, operations *executor.Metrics, errors *executor.Errors) *requestMetrics {
	m := &requestMetrics{
		operations: operations,
		errors:     errors,
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_http_responses_total",
			Help: "Responses of /graphql over HTTP, by status. 304 is a query whose answer the client had already.",
		}, []string{"status"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pullwatch_http_response_bytes_total",
			Help: "Bytes of these responses' bodies, compressed where they were.",
		}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pullwatch_active_sse_streams",
			Help: "Streams of server-sent events that are open.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pullwatch_sse_events_total",
			Help: "Server-sent events.",
		}),
		streamedBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pullwatch_sse_bytes_total",
			Help: "Bytes of server-sent events.",
		}),
		writes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pullwatch_sse_write_seconds",
			Help:    "Time that a connection took to accept a server-sent event.",
			Buckets: writeBuckets,
		}),
	}
	m.ok = m.responses.WithLabelValues(strconv.Itoa(http.StatusOK))
	r.MustRegister(m.responses, m.bytes, m.streams, m.events, m.streamedBytes, m.writes)
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

func (m *requestMetrics) Refused(code string) { m.errors.Count(usererr.Code(code)) }

func (m *requestMetrics) Repeated(operation string, took time.Duration) {
	m.operations.Repeated(operation, took)
}

func (m *requestMetrics) StreamOpened() { m.streams.Inc() }

func (m *requestMetrics) StreamClosed() { m.streams.Dec() }

func (m *requestMetrics) Sent(bytes int, took time.Duration) {
	m.events.Inc()
	m.streamedBytes.Add(float64(bytes))
	m.writes.Observe(took.Seconds())
}
