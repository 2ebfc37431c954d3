package caller

import (
	"context"
	"testing"
)

func TestOperationCountsForTheCallerOfItsConnection(t *testing.T) {
	type key struct{}
	a := With(t.Context(), Caller{Address: "192.0.2.1"})
	operation, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(a), key{}, "an operation's own"))
	defer cancel()
	if got := From(operation); got.Address != "192.0.2.1" {
		t.Errorf("%+v", got)
	}
	if got := From(With(a, Caller{Address: "192.0.2.2"})); got.Address != "192.0.2.2" {
		t.Errorf("the caller that was noted last is the one that counts: %+v", got)
	}
	if got := From(t.Context()); got != (Caller{}) {
		t.Errorf("nothing is known, but the caller is %+v", got)
	}
}
