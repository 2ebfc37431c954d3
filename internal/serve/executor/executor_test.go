package executor

import (
	"testing"
)

func TestClientsLeaveOperationsToOthers(t *testing.T) {
	r := &running{limit: 10, clients: map[string]int{}}
	begin := func(client string) (n int) {
		for r.begin(client) == nil {
			n++
		}
		return n
	}
	if one, other, third := begin("one"), begin("other"), begin("third"); one != 5 || other != 3 || third != 1 {
		t.Errorf("one has %d operations, another %d, a third one %d; want 5, 3, 1", one, other, third)
	}
	for client, n := range map[string]int{"one": 5, "other": 3, "third": 1} {
		for range n {
			r.end(client)
		}
	}
	if r.now != 0 || len(r.clients) != 0 {
		t.Errorf("%d operations and %d clients are left", r.now, len(r.clients))
	}
}
