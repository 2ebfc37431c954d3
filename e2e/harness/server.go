package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Server is a replica of pullwatch, in a process of its own.
type Server struct {
	// Address is the host:port that it listens on.
	Address string
	// Log holds what it has logged.
	Log *Output
	// Exited is closed when the process has ended, with Err.
	Exited chan struct{}
	Err    error

	cmd *exec.Cmd
}

// Launch starts a replica from a program, with flags. It ends with the test.
func Launch(t *testing.T, program string, flags ...string) *Server {
	t.Helper()
	s := &Server{Address: FreeAddress(t, "127.0.0.1"), Log: &Output{}, Exited: make(chan struct{})}
	s.cmd = exec.Command(program, append([]string{"--listen=" + s.Address}, flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.Log, s.Log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.Err = s.cmd.Wait()
		close(s.Exited)
	}()
	t.Cleanup(func() {
		s.Terminate(t)
		if t.Failed() {
			t.Logf("the log of the server at %s:\n%s", s.Address, s.Log)
		}
	})
	return s
}

// Status returns the status of an HTTP response, 0 while nobody listens. A server that has ended fails the test.
func (s *Server) Status(t *testing.T, path string) int {
	t.Helper()
	select {
	case <-s.Exited:
		t.Fatalf("the server has ended: %v", s.Err)
	default:
	}
	resp, err := http.Get("http://" + s.Address + path)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Kill ends the process as a crash does.
func (s *Server) Kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Exited
}

// Signal sends the process a signal.
func (s *Server) Signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Errorf("%v to the server at %s: %v", signal, s.Address, err)
	}
}

// DrainLimit is how long a server may take to end after SIGTERM.
const DrainLimit = 20 * time.Second

// Terminate asks the process to end, unless it has, and waits for it.
func (s *Server) Terminate(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return // it has ended already
	}
	limit := time.NewTimer(DrainLimit)
	defer limit.Stop()
	select {
	case <-s.Exited:
		if s.Err != nil {
			t.Errorf("the server at %s ended with %v", s.Address, s.Err)
		}
	case <-limit.C:
		t.Errorf("the server at %s did not end within %s of SIGTERM", s.Address, DrainLimit)
		s.Kill(t)
	}
}

// Output keeps what a process prints.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Metrics returns what /metrics shows.
func (s *Server) Metrics(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/metrics", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// MetricValue returns the value of a metric in what /metrics shows; name includes its labels.
func MetricValue(text, name string) (float64, error) {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}
