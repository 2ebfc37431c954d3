// Package breaker is a circuit breaker. After a few failures of a service in a row it refuses calls for a moment, so that
// callers do not wait for a service that is away. Then one call tries whether it is back.
package breaker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// ErrOpen is what Do returns without having called anything.
var ErrOpen = errors.New("not asked, because it has just failed several times")

const (
	// failuresToOpen is how many failures in a row open the breaker.
	failuresToOpen = 3
	// rest is how long it stays open before one call is let through.
	rest = 2 * time.Second
)

// Outcome is what a call says about the service.
type Outcome int

// The outcomes of a call.
const (
	// Answered means that the service works, whether or not the caller got what it wanted.
	Answered Outcome = iota
	// Failed means that the service does not work.
	Failed
	// Unclear says nothing about the service.
	Unclear
)

// Judge is the usual judge: no error is Answered, the caller's own cancellation Unclear, and any other
// error, a deadline that ran out among them, Failed.
func Judge(err error) Outcome {
	switch {
	case err == nil:
		return Answered
	case errors.Is(err, context.Canceled):
		return Unclear
	default:
		return Failed
	}
}

// Breaker guards the calls to one service. It is for any number of goroutines.
type Breaker struct {
	circuit *gobreaker.CircuitBreaker[struct{}]
}

// New returns a closed breaker for the service called name. judge says what the error of a call says about the service. The
// breaker logs when the service goes away and when it is back, and registers the metric pullwatch_breaker_state{name}. A
// name can be registered once.
func New(name string, judge func(error) Outcome, logger *slog.Logger, metrics prometheus.Registerer) *Breaker {
	logger = logger.With("service", name)
	// gobreaker calls IsSuccessful and OnStateChange under its lock, which guards these two as well.
	var (
		cause error
		since time.Time
	)
	circuit := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        name,
		Timeout:     rest,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= failuresToOpen },
		IsExcluded:  func(err error) bool { return judge(err) == Unclear },
		IsSuccessful: func(err error) bool {
			if judge(err) == Answered {
				return true
			}
			cause = err
			return false
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case from == gobreaker.StateClosed:
				since = time.Now()
				logger.Warn("a service is away; going on without it", "error", cause)
			case to == gobreaker.StateClosed:
				logger.Info("a service is back", "away", time.Since(since).Round(time.Millisecond))
			}
		},
	})
	metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "pullwatch_breaker_state",
		Help:        "Whether the service is asked: 0 it is, 1 one call tries whether it is back, 2 it is not.",
		ConstLabels: prometheus.Labels{"name": name},
	}, func() float64 { return stateValue(circuit.State()) }))
	return &Breaker{circuit: circuit}
}

func stateValue(state gobreaker.State) float64 {
	switch state {
	case gobreaker.StateOpen:
		return 2
	case gobreaker.StateHalfOpen:
		return 1
	default:
		return 0
	}
}

// Do calls call, unless the breaker is open or another caller tries just now whether the service is back: then it
// returns ErrOpen at once. Otherwise it returns what call returned.
func (b *Breaker) Do(call func() error) error {
	_, err := b.circuit.Execute(func() (struct{}, error) { return struct{}{}, call() })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return ErrOpen
	}
	return err
}

// Open reports whether Do would refuse because the service is away; it is false again when the next call is to try.
func (b *Breaker) Open() bool { return b.circuit.State() == gobreaker.StateOpen }
