package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
)

// pullQueue is the schema's PullQueue.
type pullQueue struct {
	Paused bool
	Reason *string
	Since  *time.Time
}

const queueFields = `{ paused reason since }`

func (s *server) queue(t *testing.T) pullQueue {
	t.Helper()
	var data struct{ Queue pullQueue }
	if err := s.Ask(t.Context(), `{ queue `+queueFields+` }`, nil, &data); err != nil {
		t.Fatal(err)
	}
	return data.Queue
}

func (s *server) pauseQueue(t *testing.T, reason string) (pullQueue, error) {
	t.Helper()
	var data struct{ PauseQueue pullQueue }
	err := s.Ask(t.Context(), `mutation($reason: String!) { pauseQueue(reason: $reason) `+queueFields+` }`, map[string]any{"reason": reason}, &data)
	return data.PauseQueue, err
}

func (s *server) resumeQueue(t *testing.T) {
	t.Helper()
	var data struct{ ResumeQueue pullQueue }
	if err := s.Ask(t.Context(), `mutation { resumeQueue `+queueFields+` }`, nil, &data); err != nil || data.ResumeQueue.Paused {
		t.Fatalf("%+v, %v", data.ResumeQueue, err)
	}
}

// With the manifest's rights, of two replicas, through the one that does not lead, and after both were killed, and Redis with them.
func TestAHeldPullAndAPausedQueueStaySoAndAllAreTold(t *testing.T) {
	t.Run("without Redis", func(t *testing.T) { checkHoldAndPause(t, func() {}) })
	t.Run("with Redis", func(t *testing.T) {
		redis := startRedis(t)
		checkHoldAndPause(t, redis.Restart, "--redis-url="+redis.URL())
	})
}

// checkHoldAndPause restarts what the replicas share besides the cluster while none runs.
func checkHoldAndPause(t *testing.T, restart func(), shared ...string) {
	source := newSource(t)
	var images []string
	for i := range 3 {
		image, _ := source.image(t, fmt.Sprintf("app:%d", i), 100_000, 1)
		images = append(images, image)
	}
	gate := source.hold(t, 0)
	namespace := newNamespace(t)
	flags := append(append(insecure(source.host), shared...), "--max-parallel=1", "--kubeconfig="+account(t, namespace, func(*rbacv1.PolicyRule) {}))
	replicas := []*server{startServer(t, namespace, flags...), startServer(t, namespace, flags...)}
	leader := leaderOf(t, replicas)
	other := replicas[0]
	if other == leader {
		other = replicas[1]
	}
	pulls := leader.startAll(t, images...)
	first, held, waiting := pulls[0].ID, pulls[1].ID, pulls[2].ID
	leader.updates(t, first).until(t, "is copying", func(p pullJob) bool { return p.is("PULLING") })

	followed := []*subscription[pullJob]{leader.updates(t, held), other.updates(t, held)}
	if p, err := other.hold(t, held); err != nil || !p.Held || !strings.HasPrefix(p.Message, "Held.") {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, updates := range followed {
		updates.until(t, "says that it is held", func(p pullJob) bool { return p.Held && p.is("QUEUED") })
	}
	if _, err := other.hold(t, first); codeOf(err) != "CONFLICT" || !strings.Contains(err.Error(), "cancelPull") {
		t.Errorf("holding a pull that runs: %v", err)
	}

	const why = "The registry is being moved"
	paused := func(p pullJob) bool {
		return strings.Contains(p.Message, "The queue is paused: "+why) && p.is("QUEUED")
	}
	followed = []*subscription[pullJob]{leader.updates(t, waiting), other.updates(t, waiting)}
	if _, err := other.pauseQueue(t, "two\nlines"); codeOf(err) != "BAD_INPUT" {
		t.Errorf("a reason of two lines: %v", err)
	}
	began := time.Now()
	if q, err := other.pauseQueue(t, why); err != nil || !q.Paused {
		t.Fatalf("%+v, %v", q, err)
	}
	for _, updates := range followed {
		updates.until(t, "says that the queue is paused", paused)
	}
	figures.add(t, "a pause of the queue through the other replica until both have told it", "%d ms", time.Since(began).Milliseconds())
	for _, s := range replicas {
		eventually(t, "its list says so", func() bool { p := find(s.activePulls(t), waiting); return p != nil && paused(*p) })
		eventually(t, "its query says so", func() bool { q := s.queue(t); return q.Paused && *q.Reason == why })
	}

	for _, s := range replicas {
		s.Kill(t)
	}
	restart()
	gate.release()
	s := startServer(t, namespace, flags...)
	if last := s.outcome(t, first); !last.is("SUCCEEDED") {
		t.Errorf("the pull that ran: %+v", last)
	}
	leaderOf(t, []*server{s})
	pause(t, 3*time.Second)
	if p := s.pull(t, held); !p.Held {
		t.Errorf("held before the restart: %s %s", p.Phase, p.Message)
	}
	if p := s.pull(t, waiting); !paused(*p) {
		t.Errorf("in a paused queue before the restart: %s %s", p.Phase, p.Message)
	}
	s.resumeQueue(t)
	if last := s.outcome(t, waiting); !last.is("SUCCEEDED") {
		t.Errorf("after the pause: %+v", last)
	}
	if p := s.pull(t, held); !p.Held {
		t.Errorf("held: %s %s", p.Phase, p.Message)
	}
	if p, err := s.release(t, held); err != nil || p.Held {
		t.Errorf("%+v, %v", p, err)
	}
	if last := s.outcome(t, held); !last.is("SUCCEEDED") {
		t.Errorf("released: %+v", last)
	}
}

// The registry speaks plain HTTP, which nobody has allowed, so each pull fails at once.
func TestPullsFromARegistryThatFailsThemAllAreSlowedDownAndOthersAreNot(t *testing.T) {
	bad, good := newSource(t), newSource(t)
	var images []string
	for i := range 6 {
		image, _ := bad.image(t, fmt.Sprintf("app:%d", i), 1000, 1)
		images = append(images, image)
	}
	fine, digest := good.image(t, "app:1", 1000, 1)
	namespace := newNamespace(t)
	flags := append(insecure(good.host), "--max-parallel=3")
	replicas := []*server{startServer(t, namespace, flags...), startServer(t, namespace, flags...)}
	leader := leaderOf(t, replicas)
	other := replicas[0]
	if other == leader {
		other = replicas[1]
	}
	for _, p := range leader.outcomes(t, idsOf(other.startAll(t, images[:3]...))...) {
		checkFailure(t, p, "TLS")
	}
	failed := time.Now()
	waiting := idsOf(other.startAll(t, images[3:]...))
	slowed := func(p pullJob) bool {
		return p.is("QUEUED") && strings.Contains(p.Message, "Pulls from "+bad.host+" are slowed down") && strings.Contains(p.Message, "TLS")
	}
	for _, id := range waiting {
		other.updates(t, id).until(t, "says that pulls are slowed down", slowed)
	}
	checkCopied(t, other.outcome(t, other.startOne(t, fine).ID), digest)
	if n := metricValue(t, leader.metrics(t), "pullwatch_queue_slowed"); n != 1 {
		t.Errorf("the metric says %v", n)
	}

	leader.Kill(t)
	checkFailure(t, other.outcome(t, waiting[0]), "TLS")
	if took := time.Since(failed); took < 25*time.Second {
		t.Errorf("the next one was tried after %v", took)
	}
	pause(t, 5*time.Second)
	for _, id := range waiting[1:] {
		if p := other.pull(t, id); !slowed(*p) {
			t.Errorf("after a change of the leader it is %s: %s", p.Phase, p.Message)
		}
	}
	other.resumeQueue(t)
	for _, p := range other.outcomes(t, waiting[1:]...) {
		checkFailure(t, p, "TLS")
	}
	if n := metricValue(t, other.metrics(t), "pullwatch_queue_slowed"); n != 0 {
		t.Errorf("after resumeQueue the metric says %v", n)
	}
}
