package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"pullwatch/internal/redis/redistest"
)

// stage has the replicas of which one or all meet a fault.
type stage struct {
	*group
	redis    *redistest.Server     // nil with sentinel
	sentinel *redistest.ReplicaSet // nil with redis
	player   *jobPlayer
	// leader is the replica that led before the fault.
	leader *replica
	// unable is the replica that cannot reach the API server; nil while none can, or all can.
	unable    *replica
	following *following
	pulls     []string
	// endings has the phase with which each pull ends, or lost.
	endings map[string]string
}

func newStage(t *testing.T, f fault) *stage {
	t.Helper()
	s := &stage{endings: map[string]string{}}
	var address, url string
	if f.replicated {
		s.sentinel = startReplicatedRedis(t)
		url = s.sentinel.URL()
	} else {
		s.redis = startRedis(t)
		address = s.redis.Addr
	}
	namespace := newNamespace(t)
	s.player = playJobs(t, namespace)
	s.group = startGroup(t, namespace, 3, address, url, "--max-parallel=1000", "--history-ttl=1h")
	return s
}

func (s *stage) each(do func(*replica)) {
	for _, r := range s.replicas {
		do(r)
	}
}

// able returns the replicas through which pulls are started and canceled.
func (s *stage) able() []*replica {
	return slices.DeleteFunc(s.living(), func(r *replica) bool { return r == s.unable })
}

// before returns the most that a leading replica (true) and another one (false) hold, with nobody connected.
func (s *stage) before(t *testing.T) map[bool]holdings {
	t.Helper()
	http.DefaultClient.CloseIdleConnections()
	most := map[bool]holdings{}
	for _, r := range s.replicas {
		leads, now := r.gauge(t, "pullwatch_leader") == 1, r.holdings(t)
		was := most[leads]
		most[leads] = holdings{max(was.goroutines, now.goroutines), max(was.files, now.files)}
	}
	return most
}

// logged returns how much each replica has logged.
func (s *stage) logged() []int {
	var bytes []int
	for _, r := range s.replicas {
		bytes = append(bytes, len(r.Log.String()))
	}
	return bytes
}

// warningsSince returns the most warnings that one replica has logged since, and logs them.
func (s *stage) warningsSince(t *testing.T, logged []int) int {
	most := 0
	for i, r := range s.replicas {
		warnings := r.warnings(logged[i])
		t.Logf("replica %d warned %d times\n%s", i, len(warnings), strings.Join(warnings, "\n"))
		most = max(most, len(warnings))
	}
	return most
}
