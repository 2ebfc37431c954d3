package main

import (
	"fmt"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/apimachinery/pkg/api/resource"
)

// minMemory is the least that clients need, in bytes.
const minMemory = 32 << 20

// memoryBudget returns how many bytes clients may make the server take: what was asked for, or a third of what there is.
// The rest is for the garbage collector, which lets the heap grow to twice of what is in use, and for what the server
// takes by itself.
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

// memoryLimit returns how many bytes the process may take: the limit of its cgroup or GOMEMLIMIT, or else a quarter of the
// machine's memory.
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

// limitMemory makes the garbage collector keep to three quarters of the cgroup's limit, unless GOMEMLIMIT says otherwise. The
// rest is for what the kernel charges: buffers of sockets, above all.
func limitMemory() {
	if debug.SetMemoryLimit(-1) < math.MaxInt64 {
		return
	}
	if limit, err := memlimit.FromCgroup(); err == nil && limit > 0 && limit < math.MaxInt64 {
		debug.SetMemoryLimit(int64(limit / 4 * 3))
	}
}
