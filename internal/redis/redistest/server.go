// Package redistest starts real Redis servers for tests.
package redistest

import (
	"crypto/tls"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
)

// VerifyTestMain is goleak.VerifyTestMain for packages that use Redis. It ignores a goroutine of go-redis that waits for a second
// after it could not connect, because closing a client does not end it.
func VerifyTestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// Server is a redis-server of one test, on a port of 127.0.0.1. Only the test's goroutine may call its methods.
type Server struct {
	// Addr is its host:port. A restart does not change it.
	Addr string

	t       testing.TB
	tls     *tls.Config // nil without TLS
	args    []string
	process *process
	client  *redis.Client
}

// Start starts a redis-server with args, such as "--requirepass", "secret". It returns when the server accepts connections. The
// test's cleanup kills the server. Without redis-server on the PATH the test is skipped.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, func(port int) []string { return append([]string{"--port", strconv.Itoa(port)}, args...) })
}

// start starts a redis-server with the arguments that argsFor returns for its port.
func start(t testing.TB, argsFor func(port int) []string) *Server {
	t.Helper()
	needRedis(t)
	common := inDirectory(t.TempDir())
	// Somebody else may take a port after freePort has found it free.
	const tries = 5
	var err error
	for range tries {
		port := freePort(t)
		s := &Server{Addr: address(port), t: t, args: slices.Concat(argsFor(port), common)}
		if s.process, err = run(s.args...); err == nil {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// needRedis skips the test where there is no redis-server.
func needRedis(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("needs redis-server: ", err)
	}
}

// URL returns the URL of the server, without user and password.
func (s *Server) URL() string {
	if s.tls != nil {
		return "rediss://" + s.Addr
	}
	return "redis://" + s.Addr
}

// Client returns a client of the server, without a login. The test's cleanup closes it.
func (s *Server) Client() *redis.Client {
	if s.client == nil {
		logging.Disable() // else go-redis logs every failure to reach a killed server
		// After PoolSize failures to connect, go-redis tries only once a second. Tests need not wait for that.
		s.client = redis.NewClient(&redis.Options{Addr: s.Addr, TLSConfig: s.tls, PoolSize: 1000, DialerRetries: 1})
		s.t.Cleanup(func() { _ = s.client.Close() })
	}
	return s.client
}

// Kill ends the server as a crash does. It may be called more than once.
func (s *Server) Kill() { s.process.kill() }

// Restart starts the server again on its port, without data. If the server runs, Restart kills it first.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	process, err := run(s.args...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.process = process
}

// Pause stops the server without ending it, so that connections hang.
func (s *Server) Pause() {
	s.t.Helper()
	s.process.signal(s.t, syscall.SIGSTOP)
}

// Resume continues a paused server.
func (s *Server) Resume() {
	s.t.Helper()
	s.process.signal(s.t, syscall.SIGCONT)
}
