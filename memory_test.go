package main

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestMemoryBudgetIsAShareOfTheMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(500 << 20)
	defer debug.SetMemoryLimit(before)
	for given, want := range map[string]int{"": 500 << 20 / 3, "64Mi": 64 << 20, "100M": 100_000_000} {
		s := serveSettings{MemoryBudget: given}
		if got, err := s.memoryBudget(); err != nil || got != want {
			t.Errorf("--memory-budget=%s: %d bytes, %v, want %d", given, got, err, want)
		}
	}
	debug.SetMemoryLimit(1)
	if got, err := (&serveSettings{}).memoryBudget(); err != nil || got != minMemory {
		t.Errorf("with hardly any memory: %d bytes, %v, want %d", got, err, minMemory)
	}
}

func TestGOMEMLIMITIsNotOverridden(t *testing.T) {
	before := debug.SetMemoryLimit(500 << 20)
	defer debug.SetMemoryLimit(before)
	limitMemory()
	if limit := debug.SetMemoryLimit(-1); limit != 500<<20 {
		t.Errorf("the garbage collector has a limit of %d bytes, want what GOMEMLIMIT says", limit)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	limitMemory()
	if limit := debug.SetMemoryLimit(-1); limit < minMemory {
		t.Errorf("the garbage collector has a limit of %d bytes", limit)
	}
}
