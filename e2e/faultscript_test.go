package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
)

// What happens to pulls while a fault comes and goes.

const (
	// stagePulls is how many pulls run when a fault begins.
	stagePulls = 200
	// stageSlices is how many clients follow some pulls, on each replica, beside the one that follows all.
	stageSlices = 4
	// atOnce bounds a mutation that cannot be done because Kubernetes is away.
	atOnce = 2 * time.Second
	// staleLimit bounds the time until lists that cannot be read anew are told to be stale.
	staleLimit = time.Minute
	// settling bounds the time from the end of a fault until every client knows how every pull ended.
	settling = 90 * time.Second
)

// Ways in which the pulls of a stage end, in turn.
const (
	succeeds = iota
	fails
	isCanceled
	isLost
)

// wayOf returns how the i-th pull ends.
func wayOf(i int) int {
	if i%20 == 10 {
		return isLost
	}
	return i % 3
}

// startPulls starts the pulls, and clients that follow them on each replica, and waits until all pulls run.
func (s *stage) startPulls(t *testing.T) {
	t.Helper()
	following, ctx := newFollowing(t)
	s.following = following
	for i := range s.replicas {
		following.follow(ctx, s.group, fmt.Sprintf("client of all pulls at replica %d", i), i, nil)
	}
	s.pulls = s.start(t, imageNames("app", stagePulls))
	for i := range s.replicas {
		for slice := range stageSlices {
			var ids []string
			for j := slice; j < stagePulls; j += stageSlices {
				ids = append(ids, s.pulls[j])
			}
			following.follow(ctx, s.group, fmt.Sprintf("client of slice %d at replica %d", slice, i), i, ids)
		}
	}
	eventually(t, "all pulls run", func() bool { return s.player.running() == stagePulls })
	running := map[string]string{}
	for _, id := range s.pulls {
		running[id] = "PENDING"
	}
	eventually(t, "all clients know that all pulls run", func() bool { return len(s.lacking(running)) == 0 })
}

// endFirstHalf ends half of the pulls during the fault; the ones to be canceled only if pullwatch can do that.
func (s *stage) endFirstHalf(t *testing.T, cancels bool) {
	t.Helper()
	s.endSome(t, 0, stagePulls/2)
	if cancels {
		s.cancelSome(t, 0, stagePulls/2)
	}
	eventually(t, "the Jobs have ended", s.player.done)
}

// endSecondHalf ends the rest; with it the ones that could not be canceled before.
func (s *stage) endSecondHalf(t *testing.T, cancelAll bool) {
	t.Helper()
	s.endSome(t, stagePulls/2, stagePulls)
	from := stagePulls / 2
	if cancelAll {
		from = 0
		s.awaitMutable(t)
	}
	s.cancelSome(t, from, stagePulls)
}

func (s *stage) endSome(t *testing.T, from, to int) {
	t.Helper()
	for i, id := range s.pulls[from:to] {
		switch wayOf(from + i) {
		case succeeds:
			s.endings[id] = "SUCCEEDED"
			s.player.end(id, batchv1.JobComplete)
		case fails:
			s.endings[id] = "FAILED"
			s.player.end(id, batchv1.JobFailed)
		case isLost:
			s.endings[id] = lost
			s.player.remove(t, id)
		}
	}
}

// cancelSome cancels those pulls whose end that is, through all replicas at once.
func (s *stage) cancelSome(t *testing.T, from, to int) {
	t.Helper()
	able := s.able()
	shares := make([][]string, len(able))
	for i, id := range s.pulls[from:to] {
		if wayOf(from+i) == isCanceled {
			s.endings[id] = "CANCELED"
			shares[i%len(able)] = append(shares[i%len(able)], id)
		}
	}
	var canceling sync.WaitGroup
	for i, r := range able {
		canceling.Go(func() {
			for _, id := range shares[i] {
				if p, err := r.cancel(t, id); err != nil || !p.is("CANCELED") {
					t.Errorf("cancel of %s through replica at %s: %v, and it is %q", id, r.Address, err, p.Phase)
				}
			}
		})
	}
	canceling.Wait()
}

// awaitMutable waits until every replica can change pulls again.
func (s *stage) awaitMutable(t *testing.T) {
	t.Helper()
	for _, r := range s.living() {
		eventually(t, "pulls can be changed", func() bool {
			_, err := r.cancel(t, "no-such-pull")
			return codeOf(err) == "NOT_FOUND"
		})
	}
}

// mutate starts, cancels and retries a pull through every replica at once, or finds that each is refused at once.
func (s *stage) mutate(t *testing.T, kubernetesAway bool) mutations {
	t.Helper()
	var done mutations
	var mu sync.Mutex
	check := func(r *replica, what string, began time.Time, err error) {
		took := time.Since(began)
		good := err == nil
		if kubernetesAway {
			good = codeOf(err) == "UNAVAILABLE" && took < atOnce
		}
		if !good {
			t.Errorf("%s at %s: after %s: %v", what, r.Address, took, err)
		}
		mu.Lock()
		defer mu.Unlock()
		done.add(good, took)
	}
	endsAs := func(id, phase string) {
		mu.Lock()
		defer mu.Unlock()
		s.endings[id] = phase
	}
	var mutating sync.WaitGroup
	for i, r := range s.able() {
		mutating.Go(func() {
			began := time.Now()
			started, err := r.tryStart(t, fmt.Sprintf("source.example/late:%d", i))
			check(r, "start", began, err)
			id := s.pulls[stagePulls-1]
			if err == nil {
				id = started.ID
				endsAs(id, "CANCELED")
			}
			began = time.Now()
			_, err = r.cancel(t, id)
			check(r, "cancel", began, err)
			began = time.Now()
			again, err := r.retry(t, s.pulls[3*i+1])
			check(r, "retry", began, err)
			if err == nil {
				endsAs(again.ID, "SUCCEEDED")
				s.player.end(again.ID, batchv1.JobComplete)
			}
		})
	}
	mutating.Wait()
	return done
}

// tryStart starts one pull.
func (s *server) tryStart(t *testing.T, image string) (pullJob, error) {
	var data struct {
		StartPulls struct{ Results []startResult }
	}
	err := s.Ask(t.Context(), `mutation($images: [String!]!) {
		startPulls(input: {images: $images}) { results { image joined error { code message } pull { `+pullFields+` } } }
	}`, map[string]any{"images": []string{image}}, &data)
	if err != nil {
		return pullJob{}, err
	}
	result := data.StartPulls.Results[0]
	if result.Error != nil {
		refusal := graphqlError{Message: result.Error.Message}
		refusal.Extensions.Code = result.Error.Code
		return pullJob{}, refusal
	}
	return *result.Pull, nil
}

// awaitEnds waits until every client knows how every pull has ended.
func (s *stage) awaitEnds(t *testing.T) {
	t.Helper()
	if within(t, settling, func() bool { return len(s.lacking(s.endings)) == 0 }) {
		return
	}
	lacking := s.lacking(s.endings)
	t.Errorf("%d ends were not told within %s, such as %q", len(lacking), settling, lacking[0])
}

// lacking returns what clients have not been told, of phases that pulls have come to.
func (s *stage) lacking(phases map[string]string) []string {
	var lacking []string
	for _, f := range s.following.followers {
		for _, what := range f.lacking(phases) {
			lacking = append(lacking, f.name+": "+what)
		}
	}
	return lacking
}
