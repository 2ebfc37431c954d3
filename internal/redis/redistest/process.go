package redistest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout bounds how long a server may take to answer, on a busy machine.
const startTimeout = 20 * time.Second

// process is a running redis-server.
type process struct {
	command *exec.Cmd
	cancel  context.CancelFunc // ends it with SIGKILL
	// ended is closed when the process has ended. Then output is complete.
	ended  chan struct{}
	output strings.Builder
}

// run starts redis-server and returns when it accepts connections. An error holds what the server printed.
func run(args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(context.Background()) // the test's ends before its cleanup
	p := &process{command: exec.CommandContext(ctx, "redis-server", args...), cancel: cancel, ended: make(chan struct{})}
	ready := make(chan struct{})
	go p.follow(sync.OnceFunc(func() { close(ready) }))
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-ready:
		return p, nil
	case <-p.ended:
	case <-timeout.C:
	}
	p.kill()
	return nil, fmt.Errorf("redis-server did not start:\n%s", p.output.String())
}

// follow runs the process until it ends, and calls ready when the process says that it accepts connections.
func (p *process) follow(ready func()) {
	defer close(p.ended)
	// endWithTest ends the process when the thread ends that started it. So that thread must live on.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	endWithTest(p.command)
	stdout, err := p.command.StdoutPipe()
	p.command.Stderr = p.command.Stdout
	if err == nil {
		err = p.command.Start()
	}
	if err != nil {
		fmt.Fprintln(&p.output, err)
		return
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		line := lines.Text()
		fmt.Fprintln(&p.output, line)
		if strings.Contains(line, "Ready to accept connections") || strings.Contains(line, "Sentinel ID is") {
			ready()
		}
	}
	_ = p.command.Wait() // it ends by a signal: that is no error here
}

// kill ends the process with SIGKILL, and waits for it.
func (p *process) kill() {
	p.cancel()
	<-p.ended
}

func (p *process) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		t.Fatalf("redis-server: %v: %v", signal, err)
	}
}

// freePort returns a port on which nobody listens. It is below those that systems give to outgoing connections. One of these might
// get it while the server is down, and a client that dials it again and again might even reach itself.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 12000 + rand.IntN(20000)
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port")
	return 0
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// eventually returns when condition is true. It is for what another process does without a signal.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-timeout.C:
			t.Fatalf("%s: not within %s", what, startTimeout)
		}
	}
}

// inDirectory returns the arguments of a server that stores nothing, except for files in dir that it needs.
func inDirectory(dir string) []string {
	return []string{"--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no"}
}
