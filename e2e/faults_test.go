package e2e

import (
	"net/http"
	"syscall"
	"testing"
	"time"
)

// fault is a row of the matrix: something that breaks while pulls run, end and are canceled.
type fault struct {
	name string
	// begin brings it about. It returns what takes it away again, nil where nothing does.
	begin func(t *testing.T, s *stage) (end func())
	// lasts is how long it goes on, at least.
	lasts time.Duration
	// kubernetesAway means that no replica reaches the API server: lists grow stale, mutations fail at once.
	kubernetesAway bool
	// succession is how soon another replica leads; 0 where the leader is not touched.
	succession time.Duration
	// replicated has a Redis with a replica and a Sentinel.
	replicated bool
}

// Promises on who leads next, with room for a machine that is busy with all replicas at once.
const (
	afterKill    = 20 * time.Second
	afterRelease = 5 * time.Second
)

var faults = []fault{
	{name: "none", begin: nothing},
	{name: "Redis killed, comes back empty", lasts: 4 * time.Second, begin: func(t *testing.T, s *stage) func() {
		s.redis.Kill()
		return s.redis.Restart
	}},
	{name: "Redis hangs", lasts: 6 * time.Second, begin: pauseRedis},
	{name: "Redis slow", lasts: 4 * time.Second, begin: func(t *testing.T, s *stage) func() {
		s.each(func(r *replica) { r.redis.Slow() })
		return func() { s.each(func(r *replica) { r.redis.Restore(t) }) }
	}},
	{name: "Redis flushed", begin: func(t *testing.T, s *stage) func() {
		flush(t, s.redis)
		return nil
	}},
	{name: "Redis fails over (Sentinel)", replicated: true, begin: func(t *testing.T, s *stage) func() {
		s.sentinel.Failover()
		return nil
	}},
	{name: "Redis out of memory", lasts: 4 * time.Second, begin: func(t *testing.T, s *stage) func() {
		configure(t, s.redis, "maxmemory", "1")
		return func() { configure(t, s.redis, "maxmemory", "0") }
	}},
	{name: "Redis wants a password", lasts: 4 * time.Second, begin: func(t *testing.T, s *stage) func() {
		return lockOut(t, s.redis)
	}},
	{name: "Kubernetes away", kubernetesAway: true, begin: cutKubernetes},
	{name: "Kubernetes breaks connections", kubernetesAway: true, begin: func(t *testing.T, s *stage) func() {
		s.each(func(r *replica) { r.api.Reset() })
		return func() { s.restoreKubernetes(t) }
	}},
	{name: "Kubernetes hangs", kubernetesAway: true, begin: func(t *testing.T, s *stage) func() {
		s.each(func(r *replica) { r.api.Hang() })
		return func() { s.restoreKubernetes(t) }
	}},
	{name: "leader SIGKILL", succession: afterKill, begin: killLeader},
	{name: "leader SIGSTOP, SIGCONT", succession: afterKill, begin: func(t *testing.T, s *stage) func() {
		s.leader.signal(t, syscall.SIGSTOP)
		return func() { s.leader.resume(t) }
	}},
	{name: "leader SIGTERM", succession: afterRelease, begin: func(t *testing.T, s *stage) func() {
		s.leader.signal(t, syscall.SIGTERM)
		return nil
	}},
	{name: "leader SIGKILL + Redis killed", succession: afterKill, begin: func(t *testing.T, s *stage) func() {
		killLeader(t, s)
		s.redis.Kill()
		return s.redis.Restart
	}},
	{name: "Redis hangs + Kubernetes away", kubernetesAway: true, begin: func(t *testing.T, s *stage) func() {
		restore, resume := cutKubernetes(t, s), pauseRedis(t, s)
		return func() {
			restore()
			resume()
		}
	}},
	{name: "leader cut from Redis", lasts: 4 * time.Second, begin: func(t *testing.T, s *stage) func() {
		s.leader.redis.Cut()
		return func() { s.leader.redis.Restore(t) }
	}},
	{name: "leader cut from Kubernetes", succession: afterKill, begin: func(t *testing.T, s *stage) func() {
		s.leader.api.Cut()
		s.unable = s.leader
		return func() { s.leader.api.Restore(t) }
	}},
	{name: "leader's connection to Kubernetes hangs", succession: afterKill, begin: func(t *testing.T, s *stage) func() {
		s.leader.api.Hang()
		s.unable = s.leader
		return func() { s.leader.api.Restore(t) }
	}},
	{name: "follower cut from Redis", lasts: 4 * time.Second, begin: func(t *testing.T, s *stage) func() {
		cut := s.followers(t)[0].redis
		cut.Cut()
		return func() { cut.Restore(t) }
	}},
}

func nothing(*testing.T, *stage) func() { return nil }

func pauseRedis(_ *testing.T, s *stage) func() {
	s.redis.Pause()
	return s.redis.Resume
}

func cutKubernetes(t *testing.T, s *stage) func() {
	s.each(func(r *replica) { r.api.Cut() })
	return func() { s.restoreKubernetes(t) }
}

func (s *stage) restoreKubernetes(t *testing.T) {
	s.each(func(r *replica) { r.api.Restore(t) })
}

func killLeader(t *testing.T, s *stage) func() {
	s.leader.signal(t, syscall.SIGKILL)
	return nil
}

// Three replicas meet every fault. All the while their lists are polled; clients follow 200 pulls, and go to another replica when
// their connection breaks; pulls end, are canceled, started and retried.
func TestClientsMissNothingUnderFaults(t *testing.T) {
	table := &faultTable{}
	t.Cleanup(func() { table.print(t) })
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			row := table.add(f.name)
			f.run(t, row)
		})
	}
}

// run lets pulls and clients meet a fault, and notes in row how that went.
func (f fault) run(t *testing.T, row *faultRow) {
	s := newStage(t, f)
	before := s.before(t)
	polling := s.poll(t)
	s.startPulls(t)

	s.leader = s.awaitLeader(t, nil)
	logged := s.logged()
	began := time.Now()
	end := f.begin(t, s)
	var succession *succession
	if f.succession > 0 {
		succession = watchSuccession(t, s.able())
	}
	s.endFirstHalf(t, !f.kubernetesAway)
	row.mutations = s.mutate(t, f.kubernetesAway)
	if succession != nil {
		row.failover = succession.await(t).Sub(began)
		if row.failover > f.succession {
			t.Errorf("another replica led after %s", row.failover)
		}
	}
	if f.kubernetesAway {
		if !within(t, staleLimit, polling.allStale) {
			t.Errorf("not every replica said that its lists were stale after %s", time.Since(began))
		}
		row.staleAfter = time.Since(began)
	}
	pause(t, f.lasts-time.Since(began))
	if end != nil {
		end()
	}
	over := time.Now()

	s.endSecondHalf(t, f.kubernetesAway)
	s.awaitEnds(t)
	row.caughtUp = time.Since(over)
	row.polled = polling.sofar()
	row.warnings = s.warningsSince(t, logged)
	polling.stop()
	s.following.stop()
	row.countFollowers(s)
	s.check(t, row, before)
}

// check fails the test for what must not be, whatever is broken.
func (s *stage) check(t *testing.T, row *faultRow, before map[bool]holdings) {
	t.Helper()
	for _, bad := range row.polled.bad {
		t.Errorf("a poller: %s", bad)
	}
	for _, f := range s.following.followers {
		for _, bad := range f.bad {
			t.Errorf("%s: %s", f.name, bad)
		}
		if len(f.twice) > 0 {
			t.Errorf("%s got %d revisions twice, such as %s", f.name, len(f.twice), f.twice[0])
		}
	}
	if !within(t, patience/3, func() bool { return s.group.leader(t) != nil }) {
		t.Error("not exactly one replica leads")
	}
	http.DefaultClient.CloseIdleConnections()
	for i, r := range s.living() {
		var now holdings
		if !within(t, patience/6, func() bool {
			now = r.holdings(t)
			was := before[r.gauge(t, "pullwatch_leader") == 1]
			return now.goroutines <= was.goroutines+slack && now.files <= was.files+slack
		}) {
			t.Errorf("replica %d holds %+v, and such replicas held %+v before", i, now, before)
		}
	}
}

// slack is by how many goroutines and open files a replica may differ from itself: its pool of connections to Redis grows
// with use up to a bound.
const slack = 12
