package pull

import (
	"cmp"
	"testing"
	"time"

	"pullwatch/internal/usererr"
)

func TestPositionsAreReadAsTheyWereWritten(t *testing.T) {
	for _, p := range []Position{
		{Log: "abc", Seq: 1_763_000_000_000_000},
		{Replica: "r2", Local: 7},
		{Log: "abc", Seq: 40, Replica: "r2", Local: 7, Jobs: 900, Pods: 901},
	} {
		if got, err := ParsePosition((&State{Position: p}).RevisionID()); got != p || err != nil {
			t.Errorf("%+v was read as %+v, %v", p, got, err)
		}
	}
	before := Position{Log: "abc", Seq: 40, Replica: "r2", Local: 7}
	if got, err := ParsePosition("abc.14~r2.7"); got != before || err != nil {
		t.Errorf("what the version before gave was read as %+v, %v", got, err)
	}
	unpublished := &State{Revision: Revision{Cluster: 900, Step: 3}}
	if got, err := ParsePosition(unpublished.RevisionID()); got != (Position{}) || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTextThatIsNoRevisionIsBadInput(t *testing.T) {
	for _, text := range []string{"", ".", "a", "a.", ".1", "~", "a.1~", "a.1~r", "A.1", "a.-1", "a.1.2", "-", "1-", "-1", "a.zzzzzzzzzzzzzzz", "a~b~c.1", "a.1~b.1.2", "a.1~b.1.2.3.4", "a.1~b.1.x-.3"} {
		if p, err := ParsePosition(text); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("abc.1~r.2.3.4")
	f.Add("1a-0")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePosition(text)
		if err != nil || p == (Position{}) {
			return
		}
		if again, err := ParsePosition(p.String()); again != p || err != nil {
			t.Errorf("%q: %+v was read as %+v, %v", text, p, again, err)
		}
	})
}

func TestALaterStateSupersedesAnEarlierOne(t *testing.T) {
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	ascending := []*State{
		{CreatedAt: day, Phase: Pulling, Revision: Revision{Cluster: 9, Step: 1}},
		{CreatedAt: day, Phase: Pulling, Revision: Revision{Cluster: 9, Step: uint64(day.UnixMilli()) * 256}},
		{CreatedAt: day, Phase: Pulling, Revision: Revision{Cluster: 9, Pods: 12}},
		{CreatedAt: day, Phase: Retrying, Revision: Revision{Cluster: 10, Pods: 11}},
		LostState(&State{CreatedAt: day, Phase: Pulling, Revision: Revision{Cluster: 1 << 40}}),
		{CreatedAt: day, Phase: Canceled, Revision: Revision{Cluster: 8}},
		{CreatedAt: day.Add(time.Second), Phase: Queued, Revision: Revision{Cluster: 2}},
	}
	for i, a := range ascending {
		for k, b := range ascending {
			if want := i > k; a.Supersedes(b) != want || (cmp.Compare(a.OrderKey(), b.OrderKey()) > 0) != want {
				t.Errorf("%d and %d: %t, %s and %s", i, k, a.Supersedes(b), a.OrderKey(), b.OrderKey())
			}
		}
	}
}

func TestAPullEndsOnce(t *testing.T) {
	first := &State{Phase: Failed, Failure: &Failure{Reason: Timeout}, Revision: Revision{Cluster: 8}}
	later := &State{Phase: Succeeded, Revision: Revision{Cluster: 9}}
	if later.Supersedes(first) || later.OrderKey() > first.OrderKey() {
		t.Error("a pull ended twice")
	}
	a, b := LostState(&State{Revision: Revision{Cluster: 8}}), LostState(&State{Revision: Revision{Cluster: 9}})
	if b.Supersedes(a) || b.OrderKey() > a.OrderKey() {
		t.Error("a pull was lost twice")
	}
}
