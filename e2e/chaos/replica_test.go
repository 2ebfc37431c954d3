package chaos

import (
	"context"
	"net/http"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"pullwatch/e2e/harness"
)

// replica is a replica of pullwatch whose process ends and is started again. Methods that take a *testing.T are for the test's
// goroutine.
type replica struct {
	index int
	flags []string
	// api and redis are the proxies through which it connects; redis is nil where it finds Redis by itself.
	api, redis *harness.Proxy
	// door is the proxy through which subscribers connect, to each of its processes.
	door *harness.Proxy

	mu      sync.Mutex
	process *harness.Server
	ready   bool // the process has been ready since it was started
	// outages counts stops of the process and when it went on: it is odd while the process cannot answer.
	outages int
	back    time.Time // when it last went on
}

// start starts a process.
func (r *replica) start(t *testing.T) {
	t.Helper()
	process := harness.Launch(t, binary, r.flags...)
	r.door.Redirect(process.Address)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process, r.ready = process, false
	r.endOutageLocked()
}

func (r *replica) endOutageLocked() {
	r.outages++
	r.back = time.Now()
}

func (r *replica) beginOutage() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outages++
}

// kill ends the process as a crash does.
func (r *replica) kill(t *testing.T) {
	t.Helper()
	r.beginOutage()
	r.process.Kill(t)
}

// terminate asks the process to end and waits until it has.
func (r *replica) terminate(t *testing.T) {
	t.Helper()
	r.beginOutage()
	r.process.Terminate(t)
}

// freeze stops the process like the pause of a virtual machine; thaw lets it go on.
func (r *replica) freeze(t *testing.T) {
	t.Helper()
	r.beginOutage()
	r.process.Signal(t, syscall.SIGSTOP)
}

func (r *replica) thaw(t *testing.T) {
	t.Helper()
	r.process.Signal(t, syscall.SIGCONT)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endOutageLocked()
}

// moment is the state of a replica's process at a moment.
type moment struct {
	process *harness.Server
	outages int
	up      bool
	ready   bool
	back    time.Time
}

func (r *replica) now() moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return moment{r.process, r.outages, r.outages%2 == 1, r.ready, r.back}
}

// settled reports whether the process has answered since the moment without a break, and long enough before it.
func (r *replica) settled(m moment) bool {
	const afterOutage = 3 * time.Second
	return m.up && m.ready && r.now().outages == m.outages && time.Since(m.back) > afterOutage
}

// isReady reports whether the process has ever been ready, and asks it if it has not.
func (r *replica) isReady(ctx context.Context) bool {
	m := r.now()
	if !m.up || m.ready {
		return m.up
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.process.Address+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = resp.StatusCode == http.StatusOK && r.process == m.process
	return r.ready
}

var identity = regexp.MustCompile(`\bidentity=(\S+)`)

// holds reports whether the Lease's holder is one of the replica's processes.
func (r *replica) holds(holder string) bool {
	process := r.now().process
	found := identity.FindStringSubmatch(process.Log.String())
	return found != nil && found[1] == holder
}

// gauge returns the value of a metric, if the process answers.
func (r *replica) gauge(ctx context.Context, name string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	text, err := r.now().process.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	return harness.MetricValue(text, name)
}
