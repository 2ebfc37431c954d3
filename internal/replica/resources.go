package replica

import (
	"log/slog"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/turns"
)

// Resources are what all parts of a process share: the logger, the metrics, the memory and the processors. Make them with
// NewResources.
type Resources struct {
	Logger  *slog.Logger
	Metrics *prometheus.Registry
	// Memory is the budget for everything that clients cause.
	Memory *budget.Budget
	// Turns are taken by work that needs a processor for long.
	Turns *turns.Turns

	memory int // bytes; Memory is a part of them
}

// NewResources returns Resources of which clients may use so many bytes of memory. It registers the metrics of the budget.
func NewResources(memory int, metrics *prometheus.Registry, logger *slog.Logger) *Resources {
	return &Resources{
		Logger: logger, Metrics: metrics, memory: memory,
		// The other quarter is for what is kept: see kept.
		Memory: budget.New(int64(memory/4*3), metrics),
		// Long work gets half of the processors. The others answer everybody at once.
		Turns: turns.New(max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

// kept returns how many bytes something may keep that can be made again: a part of the memory, and at most as much as is
// useful.
func (r *Resources) kept(part, most int) int { return min(r.memory/part, most) }
