package main

import (
	"fmt"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/apimachinery/pkg/api/resource"
)

// minMemory is the smallest budget that clients can work with, in bytes.
const minMemory = 32 << 20

// memoryBudget returns how many bytes of memory clients may make the server take: --memory-budget, or else a third of memoryLimit.
// The rest is for the server itself and for the garbage collector, which lets the heap grow to twice the bytes in use.
func (s *serveSettings) memoryBudget() (int, error) {
	if s.MemoryBudget == "" {
		limit, err := memoryLimit()
		return max(limit/3, minMemory), err
	}
	quantity, err := resource.ParseQuantity(s.MemoryBudget)
	if err != nil {
		return 0, fmt.Errorf("expected a number of bytes such as 256Mi: %w", err)
	}
	if bytes := quantity.Value(); bytes >= minMemory && bytes <= math.MaxInt {
		return int(bytes), nil
	}
	return 0, fmt.Errorf("must be at least %dMi", minMemory>>20)
}

// memoryLimit returns how many bytes the process may use: its cgroup's limit or GOMEMLIMIT, whichever is less, or else a quarter of
// the machine's memory.
func memoryLimit() (int, error) {
	limit, err := memlimit.FromCgroup()
	if err != nil || limit == 0 {
		limit = math.MaxInt
	}
	if set := debug.SetMemoryLimit(-1); set < math.MaxInt64 {
		limit = min(limit, uint64(set))
	}
	if limit < math.MaxInt {
		return int(limit), nil
	}
	all, err := memlimit.FromSystem()
	if err != nil {
		return 0, fmt.Errorf("memory of this machine: %w", err)
	}
	return int(min(all/4, math.MaxInt)), nil
}

// limitMemory makes the garbage collector keep the heap below three quarters of the cgroup's limit, unless GOMEMLIMIT is set. The
// rest is for memory that the kernel counts for the cgroup, mostly buffers of sockets.
func limitMemory() {
	if debug.SetMemoryLimit(-1) < math.MaxInt64 {
		return
	}
	if limit, err := memlimit.FromCgroup(); err == nil && limit > 0 && limit < math.MaxInt64 {
		debug.SetMemoryLimit(int64(limit / 4 * 3))
	}
}
