package turns

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// One client has many goroutines that wait, and others come later: they do not wait for all of those.
func TestClientsPassTheGateInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate()
		g.called = g.limit // nobody is let through yet
		var mu sync.Mutex
		var order []string
		var passing sync.WaitGroup
		for _, client := range []string{"a", "a", "a", "b", "c", "b"} {
			passing.Go(func() {
				g.Pass(client)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, client)
			})
			synctest.Wait()
		}
		// One at a time, so that the order shows.
		g.limit = 1
		g.called = 0
		g.mu.Lock()
		g.call()
		g.mu.Unlock()
		passing.Wait()
		if got, want := strings.Join(order, ""), "abcaba"; got != want {
			t.Errorf("the order is %s, want %s", got, want)
		}
		if g.called != 0 || len(g.lines) != 0 || g.last != nil {
			t.Errorf("left: %d called, %d clients", g.called, len(g.lines))
		}
	})
}

func TestEverybodyPassesTheGate(t *testing.T) {
	g := NewGate()
	var passing sync.WaitGroup
	for i := range 100 {
		client := string(rune('a' + i%7))
		passing.Go(func() {
			for range 200 {
				g.Pass(client)
			}
		})
	}
	passing.Wait()
	if g.called != 0 || len(g.lines) != 0 || g.last != nil {
		t.Errorf("left: %d called, %d clients", g.called, len(g.lines))
	}
}

func BenchmarkGate(b *testing.B) {
	g := NewGate()
	b.ReportAllocs()
	for b.Loop() {
		g.Pass("192.0.2.1")
	}
}

func BenchmarkGosched(b *testing.B) {
	for b.Loop() {
		runtime.Gosched()
	}
}
