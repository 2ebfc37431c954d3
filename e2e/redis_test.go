package e2e

import (
	"os/exec"
	"testing"

	"pullwatch/internal/redis/redistest"
)

// redisPassword is the password that Redis wants after lockOut.
const redisPassword = "not-what-the-replicas-say"

// startRedis starts a Redis of the test's own. A machine without redis-server fails the test.
func startRedis(t *testing.T) *redistest.Server {
	t.Helper()
	needRedisServer(t)
	return redistest.Start(t)
}

func startReplicatedRedis(t *testing.T) *redistest.ReplicaSet {
	t.Helper()
	needRedisServer(t)
	return redistest.StartReplicaSet(t)
}

func needRedisServer(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatalf("this test runs Redis: install redis-server (Debian's package of that name has it): %v", err)
	}
}

func flush(t *testing.T, r *redistest.Server) {
	t.Helper()
	if err := r.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func configure(t *testing.T, r *redistest.Server, parameter, value string) {
	t.Helper()
	if err := r.Client().ConfigSet(t.Context(), parameter, value).Err(); err != nil {
		t.Fatal(err)
	}
}

// lockOut makes Redis want a password, and ends all connections on which none was given. The function that it returns undoes
// that.
func lockOut(t *testing.T, r *redistest.Server) (admit func()) {
	t.Helper()
	// A connection that is there before the password stays logged in.
	administrator := r.Client().Conn()
	t.Cleanup(func() { _ = administrator.Close() })
	command := func(args ...any) {
		t.Helper()
		if err := administrator.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	command("CONFIG", "SET", "requirepass", redisPassword)
	command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	return func() {
		t.Helper()
		command("CONFIG", "SET", "requirepass", "")
	}
}
