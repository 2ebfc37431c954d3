package executor

import (
	"testing"
)

func TestCallersLeaveOperationsToOthers(t *testing.T) {
	r := &running{limit: 10, callers: map[string]int{}}
	begin := func(caller string) (n int) {
		for r.begin(caller) == nil {
			n++
		}
		return n
	}
	if one, other, third := begin("one"), begin("other"), begin("third"); one != 5 || other != 3 || third != 1 {
		t.Errorf("one has %d operations, another %d, a third one %d; want 5, 3, 1", one, other, third)
	}
	for caller, n := range map[string]int{"one": 5, "other": 3, "third": 1} {
		for range n {
			r.end(caller)
		}
	}
	if r.now != 0 || len(r.callers) != 0 {
		t.Errorf("%d operations and %d callers are left", r.now, len(r.callers))
	}
}
