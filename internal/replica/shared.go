package replica

import (
	"log/slog"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/turns"
)

// Shared is what all parts of a process use together. Make it with NewShared.
type Shared struct {
	Log     *slog.Logger
	Metrics *prometheus.Registry
	// Memory is what all that clients cause is taken from.
	Memory *budget.Budget
	// Turns are those of work that takes a processor for long.
	Turns *turns.Turns

	memory int // bytes, of which Memory is a part
}

// NewShared returns what the parts of a process share, for clients who may make it take so many bytes of memory. It
// registers the metrics of the budget.
func NewShared(memory int, metrics *prometheus.Registry, log *slog.Logger) *Shared {
	return &Shared{
		Log: log, Metrics: metrics, memory: memory,
		// The fourth quarter is for what is kept: see kept.
		Memory: budget.New(int64(memory/4*3), metrics),
		// Half of the processors do long work, so that the others answer everybody at once.
		Turns: turns.New(max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

// kept returns how many bytes may be kept of something that can be made again: a part of the memory, and at most as much
// as is of use.
func (s *Shared) kept(part, most int) int { return min(s.memory/part, most) }
