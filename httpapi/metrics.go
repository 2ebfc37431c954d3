package httpapi

import (
	"context"
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

// socketMetrics counts WebSockets.
type socketMetrics struct {
	active prometheus.Gauge
}

func newSocketMetrics(r prometheus.Registerer) *socketMetrics {
	m := &socketMetrics{active: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pullwatch_active_ws_connections",
		Help: "WebSocket connections that are open.",
	})}
	r.MustRegister(m.active)
	return m
}
