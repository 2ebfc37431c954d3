// Package breaker is a circuit breaker. When calls to a service have failed several times in a row, it opens: it refuses calls for
// a moment, so that nobody waits for a service that is away. Then it lets one call try whether the service is back.
package breaker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// ErrOpen is the error of calls that the breaker refuses.
var ErrOpen = errors.New("not asked, because it has just failed several times")

const (
	// failuresToOpen is how many failures in a row open the breaker.
	failuresToOpen = 3
	// rest is how long it stays open before it lets one call try.
	rest = 2 * time.Second
)

// Outcome is what the end of a call says about the service.
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

// Judge is the usual judge. No error is Answered, a cancellation by the caller Unclear. Every other error is Failed, also a
// deadline that has passed.
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

// New returns a closed breaker for the service called name. judge returns what the error of a call says about the service. The
// breaker logs when the service goes away and when it is back. It registers the metric pullwatch_breaker_state{name}, which is
// possible once for each name.
func New(name string, judge func(error) Outcome, logger *slog.Logger, metrics prometheus.Registerer) *Breaker {
	logger = logger.With("service", name)
	// gobreaker calls IsSuccessful and OnStateChange with its lock held. That guards these two as well.
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

// Do calls call and returns its error. While the breaker is open, or another call tries whether the service is back, Do returns
// ErrOpen at once instead.
func (b *Breaker) Do(call func() error) error {
	_, err := b.circuit.Execute(func() (struct{}, error) { return struct{}{}, call() })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return ErrOpen
	}
	return err
}

// Open reports whether Do refuses calls because the service is away. It is false as soon as the next call may try.
func (b *Breaker) Open() bool { return b.circuit.State() == gobreaker.StateOpen }
