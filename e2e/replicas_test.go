package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTwoReplicasMakeOneJobAPullAndOneGoesOnAlone(t *testing.T) {
	const pulls, parallel = 20, 3
	source := newSource(t)
	var images []string
	for i := range pulls {
		image, _ := source.image(t, fmt.Sprintf("app-%02d:1", i), 10_000, 2)
		images = append(images, image)
	}
	gate := source.hold(t, 0)
	namespace := newNamespace(t)
	flags := append(insecure(source.host), fmt.Sprintf("--max-parallel=%d", parallel))
	replicas := []*server{startServer(t, namespace, flags...), startServer(t, namespace, flags...)}

	// Both start the same pulls at the same moment.
	var started [2][]startResult
	var both sync.WaitGroup
	for i, s := range replicas {
		both.Go(func() { started[i] = s.start(t, images...) })
	}
	both.Wait()
	var ids []string
	for i := range images {
		a, b := started[0][i], started[1][i]
		if a.Error != nil || b.Error != nil || a.Pull.ID != b.Pull.ID || a.Joined == b.Joined {
			t.Fatalf("one should start %s and the other join: %+v and %+v", images[i], a, b)
		}
		ids = append(ids, a.Pull.ID)
	}
	jobs, err := env.Client.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(jobs.Items) != pulls {
		t.Errorf("there are %d Jobs of %d images", len(jobs.Items), pulls)
	}

	leader := leaderOf(t, replicas)
	other := replicas[0]
	if other == leader {
		other = replicas[1]
	}
	updates := other.updates(t, ids...)
	copying := map[string]bool{}
	for _, p := range updates.all(t) {
		if p.is("PULLING") {
			copying[p.ID] = true
		}
		if len(copying) == parallel {
			break
		}
	}
	leader.Kill(t)
	killed := time.Now()
	gate.release()
	last := map[string]pullJob{}
	for _, p := range updates.all(t) {
		last[p.ID] = p
	}
	for _, id := range ids {
		if p := last[id]; !p.is("SUCCEEDED") {
			t.Errorf("%s is %s in the end: %s", id, p.Phase, p.Message)
		}
	}
	if leaderOf(t, []*server{other}) != other {
		t.Error("nobody leads")
	}
	figures.add(t, "kill of the leader until all of 20 pulls, 3 at a time, have ended", "%.1f s", time.Since(killed).Seconds())
}

// leaderOf waits until one of the replicas leads and returns it. It fails if more than one does.
func leaderOf(t *testing.T, replicas []*server) *server {
	t.Helper()
	var leader *server
	eventually(t, "one replica leads", func() bool {
		leading := 0
		for _, s := range replicas {
			if strings.Contains(s.metrics(t), "\npullwatch_leader 1\n") {
				leader = s
				leading++
			}
		}
		if leading > 1 {
			t.Fatal("two replicas lead")
		}
		return leading == 1
	})
	return leader
}

// metrics returns what a replica shows at /metrics.
func (s *server) metrics(t *testing.T) string {
	t.Helper()
	text, err := s.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return text
}
