package httpapi

import (
	"context"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"

	"pullwatch/usererr"
)

// operationMetrics counts GraphQL operations.
type operationMetrics struct {
	seconds       *prometheus.HistogramVec
	errors        *prometheus.CounterVec
	subscriptions prometheus.Gauge
}

func newOperationMetrics(r prometheus.Registerer) *operationMetrics {
	m := &operationMetrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pullwatch_graphql_response_seconds",
			Help:    "Time to execute a query or mutation, by kind of operation.",
			Buckets: []float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5, 15},
		}, []string{"operation"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_graphql_errors_total",
			Help: "Errors that operations ended with, by code (the ErrorCode of the schema). Requests that could not be parsed or validated are not among them.",
		}, []string{"code"}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pullwatch_graphql_active_subscriptions",
			Help: "Subscriptions that are open.",
		}),
	}
	r.MustRegister(m.seconds, m.errors, m.subscriptions)
	return m
}

// count is an operation middleware.
func (m *operationMetrics) count(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	kind := graphql.GetOperationContext(ctx).Operation.Operation
	began := time.Now()
	respond := next(ctx)
	if kind == ast.Subscription {
		m.subscriptions.Inc()
		context.AfterFunc(ctx, m.subscriptions.Dec)
	}
	return func(ctx context.Context) *graphql.Response {
		response := respond(ctx)
		if kind != ast.Subscription {
			m.seconds.WithLabelValues(string(kind)).Observe(time.Since(began).Seconds())
		}
		if response != nil {
			for _, err := range response.Errors {
				if code, ok := err.Extensions["code"].(usererr.Code); ok {
					m.errors.WithLabelValues(string(code)).Inc()
				}
			}
		}
		return response
	}
}

// socketMetrics counts WebSockets and what goes over them. It is a graphqlws.Observer.
type socketMetrics struct {
	active          prometheus.Gauge
	operations      prometheus.Gauge
	closed, refused *prometheus.CounterVec
	messages, bytes *prometheus.CounterVec
	writes          prometheus.Histogram
}

func newSocketMetrics(r prometheus.Registerer) *socketMetrics {
	m := &socketMetrics{
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
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_ws_messages_total",
			Help: "WebSocket messages, by direction (in: from clients, out: to them).",
		}, []string{"direction"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_ws_bytes_total",
			Help: "Bytes of WebSocket messages, by direction (in: from clients, out: to them).",
		}, []string{"direction"}),
		writes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "pullwatch_ws_write_seconds",
			Help:    "Time that a connection took to accept what was written to it at once.",
			Buckets: []float64{.00001, .0001, .001, .01, .1, 1, 10},
		}),
	}
	r.MustRegister(m.active, m.operations, m.closed, m.refused, m.messages, m.bytes, m.writes)
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

func (m *socketMetrics) Received(bytes int) {
	m.messages.WithLabelValues("in").Inc()
	m.bytes.WithLabelValues("in").Add(float64(bytes))
}

func (m *socketMetrics) Sent(messages, bytes int, took time.Duration) {
	m.messages.WithLabelValues("out").Add(float64(messages))
	m.bytes.WithLabelValues("out").Add(float64(bytes))
	m.writes.Observe(took.Seconds())
}
