package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/e2e/harness"
)

const (
	// mostActive bounds how many pulls are active, so that all can end soon after the faults.
	mostActive = 20
	// mutationLimit bounds a mutation.
	mutationLimit = 20 * time.Second
)

// user starts, cancels and retries pulls, and checks that the next list shows it. Now and then it deletes a Job by hand.
type user struct {
	w      *world
	number int
	random *rand.Rand
	begun  int
}

func (u *user) work(ctx context.Context) {
	for !u.w.settling() && pass(ctx, time.Duration(300+u.random.IntN(900))*time.Millisecond) {
		r := u.w.replicas[u.random.IntN(len(u.w.replicas))]
		m := r.now()
		if !m.up {
			continue
		}
		switch choice := u.random.IntN(100); {
		case choice < 60:
			if len(u.w.truth.some(active)) < mostActive {
				u.start(ctx, r, m)
			}
		case choice < 80:
			if id := u.pick(active); id != "" {
				u.cancel(ctx, r, m, id)
			}
		case choice < 96:
			if id := u.pick(func(j *job) bool { return j.final == failed && j.gone.IsZero() }); id != "" {
				var data struct{ RetryPull struct{ ID string } }
				u.mutate(ctx, m, `mutation($id: ID!) { retryPull(id: $id) { id } }`, map[string]any{"id": id}, &data)
			}
		default:
			if id := u.pick(active); id != "" {
				u.deleteByHand(ctx, id)
			}
		}
	}
}

// pick returns one of the pulls for which something is so, none if there are none.
func (u *user) pick(so func(*job) bool) string {
	ids := u.w.truth.some(so)
	if len(ids) == 0 {
		return ""
	}
	return ids[u.random.IntN(len(ids))]
}

func (u *user) start(ctx context.Context, r *replica, m moment) {
	var images []string
	for range 1 + u.random.IntN(3) {
		u.begun++
		number := u.begun
		if u.random.IntN(7) == 0 {
			number = 1 + u.random.IntN(u.begun) // it may join another
		}
		how := []string{good, good, good, bad, bad, flaky}[u.random.IntN(6)]
		images = append(images, fmt.Sprintf("source.example/%s%d-%d:1", how, u.number, number))
	}
	var data started
	if u.mutate(ctx, m, startPulls, map[string]any{"images": images}, &data) {
		u.look(ctx, r, m, "start", data.ids(), true)
	}
}

const cancelPull = `mutation($id: ID!) { cancelPull(id: $id) { phase } }`

const startPulls = `mutation($images: [String!]!) { startPulls(input: {images: $images}) { results { pull { id } } } }`

// started is the answer to startPulls.
type started struct {
	StartPulls struct {
		Results []struct{ Pull *struct{ ID string } }
	}
}

// ids returns those of the pulls that were not refused.
func (s *started) ids() []string {
	var ids []string
	for _, result := range s.StartPulls.Results {
		if result.Pull != nil {
			ids = append(ids, result.Pull.ID)
		}
	}
	return ids
}

func (u *user) cancel(ctx context.Context, r *replica, m moment, id string) {
	var data struct{ CancelPull struct{ Phase string } }
	if !u.mutate(ctx, m, cancelPull, map[string]any{"id": id}, &data) {
		return
	}
	if data.CancelPull.Phase != canceled {
		u.w.verdict.add(violation{kind: "cancel answered with another phase", id: id, text: data.CancelPull.Phase})
	}
	u.look(ctx, r, m, "cancel", []string{id}, false)
}

// mutate reports whether a mutation was done.
func (u *user) mutate(ctx context.Context, m moment, query string, variables map[string]any, data any) bool {
	ctx, cancel := context.WithTimeout(ctx, mutationLimit)
	defer cancel()
	err := m.process.Ask(ctx, query, variables, data)
	u.w.counts.add("mutations", 1)
	if code := harness.CodeOf(err); code == "INTERNAL" || code == "BAD_INPUT" || code == "FORBIDDEN" {
		u.w.verdict.add(violation{kind: "mutation failed with " + code, text: err.Error()})
	}
	if err == nil {
		u.w.counts.add("mutations done", 1)
	}
	return err == nil
}

// look checks that the next list of the same replica has, or has not, the pulls of a mutation. Stale lists prove nothing.
func (u *user) look(ctx context.Context, r *replica, m moment, what string, ids []string, listed bool) {
	asked := time.Now()
	l, err := askLists(ctx, m.process)
	answered := time.Now()
	wrong := slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(l.active, id) == listed })
	if err != nil || r.now().outages != m.outages || l.stale || len(wrong) == 0 || !pass(ctx, newsTime) {
		return
	}
	for _, id := range wrong {
		// Somebody else may have ended the pull meanwhile, or started one of the same name.
		if len(u.w.truth.some(func(j *job) bool {
			ended := j.final != "" && j.ended.Before(answered.Add(newsTime))
			return j.id == id && (listed && ended || !listed && !ended)
		})) > 0 {
			continue
		}
		u.w.verdict.add(violation{
			kind: "one's own " + what + " is not in the next list", id: id,
			text: fmt.Sprintf("replica %d was asked %s and has it listed: %t", r.index, u.w.clock(asked), !listed),
		})
	}
}

func (u *user) deleteByHand(ctx context.Context, id string) {
	background := metav1.DeletePropagationBackground
	err := cluster.Client.BatchV1().Jobs(u.w.namespace).Delete(ctx, id, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !isNotFound(err) && ctx.Err() == nil {
		u.w.verdict.add(violation{kind: "the test itself failed", id: id, text: err.Error()})
	}
}

func isNotFound(err error) bool { return apierrors.IsNotFound(err) }

// lists are the answer to one query.
type lists struct {
	active, failed []string
	// stale is true if the answer said that the list of active pulls is stale.
	stale bool
}

// askLists asks a process for its lists.
func askLists(ctx context.Context, process *harness.Server) (lists, error) {
	ctx, cancel := context.WithTimeout(ctx, mutationLimit)
	defer cancel()
	r, err := process.Respond(ctx, `{ activePulls { id } failedPulls(limit: 500) { id } }`, nil)
	if err != nil {
		return lists{}, err
	}
	if len(r.Errors) > 0 {
		return lists{}, r.Errors[0]
	}
	var data struct{ ActivePulls, FailedPulls []struct{ ID string } }
	err = json.Unmarshal(r.Data, &data)
	var l lists
	for _, p := range data.ActivePulls {
		l.active = append(l.active, p.ID)
	}
	for _, p := range data.FailedPulls {
		l.failed = append(l.failed, p.ID)
	}
	_, l.stale = r.Extensions.Stale["activePulls"]
	return l, err
}

var errSlow = errors.New("it took too long")
