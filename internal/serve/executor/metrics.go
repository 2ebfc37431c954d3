package executor

import (
	"context"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/usererr"
)

// Metrics counts GraphQL operations.
type Metrics struct {
	operations *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	names      operationNames
}

// NewMetrics registers the metrics of an Executor with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		operations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pullwatch_graphql_operations_total",
			Help: "Operations by kind, name and outcome: ok, started (subscriptions), or the code of their first error.",
		}, []string{"kind", "name", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pullwatch_graphql_response_seconds",
			Help:    "Time to execute a query or mutation, by kind of operation.",
			Buckets: []float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5, 15},
		}, []string{"operation"}),
	}
	r.MustRegister(m.operations, m.seconds)
	return m
}

// operation is an operation middleware.
func (m *Metrics) operation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	operation := graphql.GetOperationContext(ctx).Operation
	kind := string(operation.Operation)
	if operation.Operation == ast.Subscription {
		m.operations.WithLabelValues(kind, m.names.label(operation.Name, true), "started").Inc()
		return next(ctx)
	}
	began := time.Now()
	respond := next(ctx)
	return func(ctx context.Context) *graphql.Response {
		response := respond(ctx)
		if response == nil {
			return nil
		}
		m.answered(kind, operation.Name, outcome(response.Errors), time.Since(began))
		return response
	}
}

// Repeated counts a query that was answered from a cached response, without the Executor.
func (m *Metrics) Repeated(name string, took time.Duration) {
	m.answered(string(ast.Query), name, "ok", took)
}

// answered counts a query or mutation that has a response.
func (m *Metrics) answered(kind, name, outcome string, took time.Duration) {
	m.seconds.WithLabelValues(kind).Observe(took.Seconds())
	m.operations.WithLabelValues(kind, m.names.label(name, outcome == "ok"), outcome).Inc()
}

// refused counts an operation that was not executed. It has no name, because clients could send any names.
func (m *Metrics) refused(errs gqlerror.List) {
	m.operations.WithLabelValues("refused", "", outcome(errs)).Inc()
}

// outcome returns the code of the first error, or ok if there is none.
func outcome(errs gqlerror.List) string {
	if len(errs) == 0 {
		return "ok"
	}
	code, ok := errs[0].Extensions["code"].(usererr.Code)
	if !ok {
		code = usererr.Internal
	}
	return string(code)
}

// Clients choose the names of operations. So the number and the length of those that become labels are bounded.
const (
	maxNames = 100
	maxName  = 100 // bytes
)

// operationNames are the names of operations that are labels: the first that came.
type operationNames struct {
	mu     sync.RWMutex
	labels map[string]bool
}

// label returns name if it is a label, otherwise "other". If add is true, name becomes a label while there are few.
func (n *operationNames) label(name string, add bool) string {
	n.mu.RLock()
	isLabel := name == "" || n.labels[name]
	n.mu.RUnlock()
	if isLabel {
		return name
	}
	if !add || len(name) > maxName {
		return "other"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.labels) >= maxNames && !n.labels[name] {
		return "other"
	}
	if n.labels == nil {
		n.labels = map[string]bool{}
	}
	n.labels[name] = true
	return name
}
