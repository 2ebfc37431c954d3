package feed

import (
	"testing"

	"pullwatch/internal/pull"
)

// versions returns the Jobs' resourceVersion up to which a Hub claims to know every change.
func versions(h *Hub) uint64 {
	jobs, _ := h.ResourceVersions()
	return jobs
}

func TestAWatchThatBeganAfterTheSharedLogEndsProvesNothing(t *testing.T) {
	h := New("r")
	h.BeginWatch(40, 40)
	h.SetResourceVersions(50, 50)
	h.Load(Contents{Log: "l", Offset: 1, ResourceVersions: ResourceVersions{30, 30}})
	h.SetResourceVersions(60, 60)
	if got := versions(h); got != 30 || len(h.Missed()) == 0 {
		t.Errorf("it claims to know every change up to %d, and the log ends at 30; %d missed", got, len(h.Missed()))
	}
	h.BeginWatch(30, 30)
	h.SetResourceVersions(60, 60)
	if got := versions(h); got != 60 || h.Gap() {
		t.Errorf("a watch from 30 on has come to 60, and the Hub to %d", got)
	}
}

func TestAWatchThatGoesOnWhereTheSharedLogEndsCounts(t *testing.T) {
	for name, begin := range map[string]uint64{"it began before the log ends": 20, "the past can't be read": 0} {
		h := New("r")
		h.BeginWatch(begin, begin)
		h.SetResourceVersions(50, 50)
		h.Load(Contents{Log: "l", Offset: 1, ResourceVersions: ResourceVersions{30, 30}})
		if got := versions(h); got != 50 || len(h.Missed()) > 0 {
			t.Errorf("%s: known up to %d; %d missed", name, got, len(h.Missed()))
		}
	}
}

func TestAWatchThatBeginsAsTheSharedLogIsReadBeginsAgain(t *testing.T) {
	h := New("r")
	h.Load(Contents{Log: "l", Offset: 1, ResourceVersions: ResourceVersions{30, 30}})
	h.BeginWatch(40, 40) // it had asked for the resourceVersions before
	h.SetResourceVersions(50, 50)
	if got := versions(h); got != 30 || len(h.Missed()) == 0 {
		t.Errorf("known up to %d; %d missed", got, len(h.Missed()))
	}
}

// Another replica has started the pull while Redis was away, and can append that only now.
func TestAPullThatWasGoneBeforeTheSharedLogBringsItIsLookedForWhereItWas(t *testing.T) {
	h := New("r")
	h.BeginWatch(40, 40)
	h.SetResourceVersions(50, 50)
	h.Load(Contents{Log: "l", Offset: 1, ResourceVersions: ResourceVersions{50, 50}})
	late := newState("a", pull.Queued, "1")
	late.Revision = pull.Revision{Cluster: 20}
	h.Follow(Entry{Offset: 2, Change: Change{State: late}, ResourceVersions: ResourceVersions{51, 51}})
	if got := versions(h); got != 20 || len(h.Missed()) == 0 {
		t.Errorf("the next watch begins at %d; %d missed", got, len(h.Missed()))
	}
	if active := h.Active(); len(active) > 0 {
		t.Errorf("it is gone, and %v is listed", active)
	}
}

func TestAGapGrowsBackwardsOnly(t *testing.T) {
	h := New("r")
	h.BeginWatch(40, 40)
	h.SetResourceVersions(50, 50)
	h.Load(Contents{Log: "l", Offset: 1, ResourceVersions: ResourceVersions{20, 20}})
	for i, version := range []uint64{30, 10, 25} {
		late := newState(string(rune('a'+i)), pull.Queued, "late")
		late.Revision = pull.Revision{Cluster: version}
		h.Follow(Entry{Offset: uint64(i + 2), Change: Change{State: late}})
	}
	if got := versions(h); got != 10 {
		t.Errorf("the next watch begins at %d, and would miss what came after 10", got)
	}
}
