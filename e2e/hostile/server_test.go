package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	// memoryLimit is that of deploy/pullwatch.yaml.
	memoryLimit = 512 << 20
	// memoryAllowed is how much of it the server may have: what is above is for moments that no test meets.
	memoryAllowed = 450 << 20
)

// server is a replica of pullwatch in a process of its own, under the memory limit.
type server struct {
	address string
	log     string
	// limit is how many bytes of resident memory it may have.
	limit int64
	cmd   *exec.Cmd
	// cgroup is nil where none can be made.
	cgroup *memoryCgroup
	// exited is closed when the process has ended, with err.
	exited chan struct{}
	err    error
	// most are the highest values that the process had since it began to serve.
	most struct{ rss, files atomic.Int64 }
}

// startServer starts a replica and waits until it is ready. It ends with the test.
func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{limit: memoryLimit}
	args := []string{binary, "--demo", "--listen=127.0.0.1:0"}
	without := errors.New("not wanted")
	if !*withoutCgroup {
		s.cgroup, without = newMemoryCgroup(t)
	}
	if without == nil {
		args = s.cgroup.inside(args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	if without != nil {
		t.Logf("GOMEMLIMIT is set and the resident memory watched, as there is no memory cgroup: %v", without)
		cmd.Env = append(os.Environ(), "GOMEMLIMIT="+strconv.Itoa(memoryLimit))
	}
	s.start(t, cmd)
	return s
}

// start starts the process and waits until it is ready.
func (s *server) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	s.cmd, s.log, s.exited = cmd, filepath.Join(t.TempDir(), "log"), make(chan struct{})
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.stop(t) })
	url := regexp.MustCompile(`url=http://([^/]+)/`)
	s.eventually(t, "the server says where it serves", func() bool {
		found := url.FindSubmatch(s.logged(t))
		if found == nil {
			return false
		}
		s.address = string(found[1])
		return true
	})
	s.eventually(t, "the server is ready", func() bool {
		_, err := s.get(t.Context(), "/readyz")
		return err == nil
	})
}

// stop ends the process and shows the end of its log if the test has failed.
func (s *server) stop(t *testing.T) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err == nil {
		limit := time.NewTimer(20 * time.Second)
		defer limit.Stop()
		select {
		case <-s.exited:
		case <-limit.C:
			t.Error("the server did not end within 20 s of SIGTERM")
			if err := s.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	<-s.exited
	if t.Failed() {
		log := s.logged(t)
		t.Logf("the end of the server's log:\n%s", log[max(0, len(log)-4<<10):])
	}
}

func (s *server) logged(t *testing.T) []byte {
	t.Helper()
	log, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func (s *server) logLines(t *testing.T) int { return bytes.Count(s.logged(t), []byte{'\n'}) }

// eventually waits for a condition that the server has to meet within 30 s.
func (s *server) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if !s.poll(ctx, holds) {
		t.Fatalf("not so, after 30 s or when the server ended: %s", what)
	}
}

// poll waits for a condition and reports whether it came to hold before the context or the server ended.
func (s *server) poll(ctx context.Context, holds func() bool) bool {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-s.exited:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// watch keeps what the process takes until the context ends. Without a cgroup it stands in for the OOM killer.
func (s *server) watch(ctx context.Context) {
	for tick := 0; ; tick++ {
		if rss := s.memory("VmRSS"); rss > s.most.rss.Load() {
			s.most.rss.Store(rss)
			if s.cgroup == nil && rss > s.limit {
				_ = s.cmd.Process.Kill() // it has ended if that fails
			}
		}
		if tick%10 == 0 { // thousands of entries take time to count
			s.most.files.Store(max(s.most.files.Load(), int64(s.files())))
		}
		if !wait(ctx, 100*time.Millisecond) {
			// Between two looks there may have been more.
			s.most.rss.Store(max(s.most.rss.Load(), s.memory("VmHWM")))
			return
		}
	}
}

// memory returns a size in bytes from what the kernel tells about the process, 0 if it has ended.
func (s *server) memory(name string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	found := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0
	}
	kib, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// files returns how many files and connections the process has open, 0 if it has ended.
func (s *server) files() int {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	return len(names)
}

// goroutines returns the metric, or an error while it cannot be had.
func (s *server) goroutines(ctx context.Context) (int, error) {
	metrics, err := s.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindSubmatch(metrics)
	if found == nil {
		return 0, errors.New("/metrics does not show go_goroutines")
	}
	return strconv.Atoi(string(found[1]))
}

// get returns the body of a page, asked for over a connection of its own.
func (s *server) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+path, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: wellBehaved.DialContext, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return io.ReadAll(response.Body)
}

// wellBehaved connects from an address that the loads do not come from.
var wellBehaved = &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}

// wait returns after a time, or false once the context has ended.
func wait(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
