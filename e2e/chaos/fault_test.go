package chaos

import (
	"slices"
	"strings"
	"time"

	"pullwatch/e2e/harness"
)

// part is what a fault breaks. Two faults at a time break different parts, so that the end of one does not end the other.
type part int

const (
	processes part = iota
	redisPart
	kubernetes
	clients
)

// who says which replicas a fault hits.
type who int

const (
	nobody who = iota // it is Redis's own
	anyone
	leader
	everyone
)

// fault is something that breaks.
type fault struct {
	name string
	part part
	who  who
	// long is true for a fault of more than ten seconds, in which another replica takes the lead.
	long bool
	// only has the kinds of Redis with which it can happen; empty for all.
	only string
	// begin lets it hit some replicas, and returns what ends it.
	begin func(w *world, hit []*replica) (end func())
}

var faults = []fault{
	{name: "kill", part: processes, who: anyone, begin: killed},
	{name: "kill-leader", part: processes, who: leader, begin: killed},
	{name: "kill-all", part: processes, who: everyone, begin: killed},
	{name: "term", part: processes, who: anyone, begin: terminated},
	{name: "term-leader", part: processes, who: leader, begin: terminated},
	{name: "stop", part: processes, who: anyone, begin: frozen},
	{name: "stop-leader", part: processes, who: leader, begin: frozen},
	{name: "stop-leader-long", part: processes, who: leader, long: true, begin: frozen},

	{name: "redis-restart", part: redisPart, only: alone + "," + sharded, begin: restartedRedis},
	{name: "redis-crash", part: redisPart, only: sentinel, long: true, begin: restartedRedis},
	{name: "redis-rollback", part: redisPart, only: alone, begin: rolledBackRedis},
	{name: "redis-flush", part: redisPart, begin: flushedRedis},
	{name: "redis-stop", part: redisPart, begin: frozenRedis},
	{name: "redis-no-writes", part: redisPart, begin: readOnlyRedis},
	{name: "redis-full", part: redisPart, begin: fullRedis},
	{name: "redis-failover", part: redisPart, only: sentinel, begin: failedOverRedis},
	{name: "redis-cut", part: redisPart, who: anyone, only: alone, begin: through(redisWay, (*harness.Proxy).Reset)},
	{name: "redis-cut-leader", part: redisPart, who: leader, only: alone, begin: through(redisWay, (*harness.Proxy).Reset)},
	{name: "redis-cut-all", part: redisPart, who: everyone, only: alone, begin: through(redisWay, (*harness.Proxy).Reset)},
	{name: "redis-hang", part: redisPart, who: anyone, only: alone, begin: through(redisWay, (*harness.Proxy).Hang)},
	{name: "redis-hang-leader", part: redisPart, who: leader, only: alone, begin: through(redisWay, (*harness.Proxy).Hang)},
	{name: "redis-hang-leader-long", part: redisPart, who: leader, only: alone, long: true, begin: through(redisWay, (*harness.Proxy).Hang)},
	{name: "redis-slow-all", part: redisPart, who: everyone, only: alone, begin: through(redisWay, (*harness.Proxy).Slow)},

	{name: "api-cut", part: kubernetes, who: anyone, begin: through(apiWay, (*harness.Proxy).Reset)},
	{name: "api-cut-leader", part: kubernetes, who: leader, begin: through(apiWay, (*harness.Proxy).Reset)},
	{name: "api-cut-all", part: kubernetes, who: everyone, begin: through(apiWay, (*harness.Proxy).Reset)},
	{name: "api-hang", part: kubernetes, who: anyone, begin: through(apiWay, (*harness.Proxy).Hang)},
	{name: "api-hang-leader", part: kubernetes, who: leader, begin: through(apiWay, (*harness.Proxy).Hang)},
	{name: "api-hang-all", part: kubernetes, who: everyone, begin: through(apiWay, (*harness.Proxy).Hang)},
	{name: "api-half-hang-leader", part: kubernetes, who: leader, long: true, begin: through(apiWay, (*harness.Proxy).HangRequests)},
	{name: "api-slow-all", part: kubernetes, who: everyone, begin: through(apiWay, (*harness.Proxy).Slow)},

	{name: "clients-cut", part: clients, who: anyone, begin: through(clientsWay, (*harness.Proxy).Reset)},
	{name: "clients-hang", part: clients, who: anyone, begin: through(clientsWay, (*harness.Proxy).Hang)},
	{name: "clients-half-hang", part: clients, who: anyone, begin: through(clientsWay, (*harness.Proxy).HangRequests)},
}

func killed(w *world, hit []*replica) func() {
	for _, r := range hit {
		r.kill(w.t)
	}
	return func() { w.start(hit) }
}

func terminated(w *world, hit []*replica) func() {
	for _, r := range hit {
		r.terminate(w.t)
	}
	return func() { w.start(hit) }
}

func frozen(w *world, hit []*replica) func() {
	for _, r := range hit {
		r.freeze(w.t)
	}
	return func() {
		for _, r := range hit {
			r.thaw(w.t)
		}
	}
}

func apiWay(r *replica) *harness.Proxy     { return r.api }
func redisWay(r *replica) *harness.Proxy   { return r.redis }
func clientsWay(r *replica) *harness.Proxy { return r.door }

// through breaks the connections of replicas.
func through(way func(*replica) *harness.Proxy, breaks func(*harness.Proxy)) func(*world, []*replica) func() {
	return func(w *world, hit []*replica) func() {
		for _, r := range hit {
			breaks(way(r))
		}
		return func() {
			for _, r := range hit {
				way(r).Restore(w.t)
			}
		}
	}
}

// restartedRedis kills the master, which comes back empty. With a Sentinel it must not come back too early: Redis does not recover
// when two servers each follow the other.
func restartedRedis(w *world, _ []*replica) func() {
	server := w.redis.master(w.t)
	server.Kill()
	return server.Restart
}

// rolledBackRedis has the master come back as it was before.
func rolledBackRedis(w *world, _ []*replica) func() {
	server := w.redis.master(w.t)
	w.redisCommand(server, "SAVE")
	return func() { server.Restart() }
}

func flushedRedis(w *world, _ []*replica) func() {
	w.redisCommand(w.redis.master(w.t), "FLUSHALL")
	return func() { w.redisCommand(w.redis.master(w.t), "FLUSHALL") }
}

func frozenRedis(w *world, _ []*replica) func() {
	server := w.redis.master(w.t)
	server.Pause()
	return server.Resume
}

func readOnlyRedis(w *world, _ []*replica) func() {
	server := w.redis.master(w.t)
	w.redisCommand(server, "CLIENT", "PAUSE", time.Minute.Milliseconds(), "WRITE")
	return func() { w.redisCommand(server, "CLIENT", "UNPAUSE") }
}

func fullRedis(w *world, _ []*replica) func() {
	server := w.redis.master(w.t)
	w.redisCommand(server, "CONFIG", "SET", "maxmemory", "1")
	return func() { w.redisCommand(server, "CONFIG", "SET", "maxmemory", "0") }
}

func failedOverRedis(w *world, _ []*replica) func() {
	// It is refused while the one before goes on, which is as good.
	_ = w.redis.watcher.Failover(w.t.Context(), masterName).Err()
	return func() {}
}

// faultsFor returns those that can happen with a kind of Redis, of the ones with some names; of all with no names.
func faultsFor(kind string, names []string) []fault {
	return slices.DeleteFunc(slices.Clone(faults), func(f fault) bool {
		return f.only != "" && !strings.Contains(f.only, kind) || len(names) > 0 && !slices.Contains(names, f.name)
	})
}
