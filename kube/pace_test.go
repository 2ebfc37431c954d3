package kube

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"pullwatch/internal/feed"
)

func TestConflictsAreNoFightWithSomethingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaOf(t, newAPI(t), feed.New("a"))
		var logged bytes.Buffer
		options := r.leaderOptions("a", 1, nil)
		options.Log = slog.New(slog.NewTextHandler(&logged, nil))
		term := newTerm(NewLeader(options), heldLease{})
		writes := 0
		for range 3 {
			err := term.paced(t.Context(), write{"job", writeYield}, "job", "1", func() error {
				writes++
				return apierrors.NewConflict(schema.GroupResource{Resource: "jobs"}, "job", errors.New("it has changed"))
			})
			if err != nil {
				t.Error(err)
			}
			if again := time.Until(term.pace.again); again <= 0 || again > shortestPause {
				t.Errorf("the leader looks again in %v", again)
			}
			term.pace.begin(time.Now())
		}
		if writes != 3 || logged.Len() > 0 {
			t.Errorf("%d writes; logged %s", writes, &logged)
		}
	})
}

func TestAWriteThatIsNotRepeatedForLongIsForgotten(t *testing.T) {
	p, now, w := newPace(), time.Unix(1_000_000, 0), write{"job", writeStart}
	for range 5 {
		p.wrote(w, "", true, now)
	}
	p.begin(now.Add(longestPause))
	if p.last(w).count == 0 {
		t.Error("it is forgotten at once")
	}
	p.begin(now.Add(3 * longestPause))
	if len(p.tries) != 0 {
		t.Errorf("%d writes are remembered", len(p.tries))
	}
}
