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

// Repeated counts a query that was answered without the Executor, from a response that is known.
func (m *Metrics) Repeated(name string, took time.Duration) {
	m.answered(string(ast.Query), name, "ok", took)
}

// answered counts a query or mutation that has got its response.
func (m *Metrics) answered(kind, name, outcome string, took time.Duration) {
	m.seconds.WithLabelValues(kind).Observe(took.Seconds())
	m.operations.WithLabelValues(kind, m.names.label(name, outcome == "ok"), outcome).Inc()
}

// refused counts an operation that was not executed. Its name could be anything.
func (m *Metrics) refused(errs gqlerror.List) {
	m.operations.WithLabelValues("refused", "", outcome(errs)).Inc()
}

// outcome returns the code of the first of an operation's errors, ok when there are none.
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

// Clients choose the names of operations, so how many become labels is bounded, and how long these are.
const (
	maxNames = 100
	maxName  = 100
)

// operationNames are the names of operations that are told apart: the first that came.
type operationNames struct {
	mu    sync.RWMutex
	known map[string]bool
}

// label returns a name if it is one of those that are told apart, or becomes one if it may, and "other" if not.
func (n *operationNames) label(name string, may bool) string {
	n.mu.RLock()
	known := name == "" || n.known[name]
	n.mu.RUnlock()
	if known {
		return name
	}
	if !may || len(name) > maxName {
		return "other"
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= maxNames && !n.known[name] {
		return "other"
	}
	if n.known == nil {
		n.known = map[string]bool{}
	}
	n.known[name] = true
	return name
}
