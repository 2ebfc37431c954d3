package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// The login of a distribution that asks for one, and its line in an htpasswd file.
const (
	loginUser     = "reader"
	loginPassword = "open sesame"
	loginHtpasswd = "reader:$2a$05$4vOPzZxdwT1AGjVMHFLqgOxGo6dSFpLDYPyZgtq9GqwkWII0oEzZu"
)

// distribution is a registry of the distribution project, in a process that can be stopped and started again.
type distribution struct {
	host   string
	config string
	cmd    *exec.Cmd
}

// newDistribution starts an empty registry, which asks for the login above if it is private. It ends with the test.
func newDistribution(t *testing.T, private bool) *distribution {
	t.Helper()
	dir := t.TempDir()
	d := &distribution{host: freeAddress(t, env.host), config: filepath.Join(dir, "config.yml")}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), d.host)
	if private {
		htpasswd := filepath.Join(dir, "htpasswd")
		writeFile(t, htpasswd, loginHtpasswd+"\n")
		config += fmt.Sprintf("auth: {htpasswd: {realm: e2e, path: %s}}\n", htpasswd)
	}
	writeFile(t, d.config, config)
	d.start(t)
	t.Cleanup(func() { d.stop(t) })
	return d
}

// launch starts the registry and does not wait for it.
func (d *distribution) launch(t *testing.T) {
	t.Helper()
	d.cmd = exec.Command("docker-registry", "serve", d.config)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (d *distribution) start(t *testing.T) {
	t.Helper()
	d.launch(t)
	eventually(t, "the registry answers", func() bool {
		resp, err := http.Get("http://" + d.host + "/v2/")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return true
	})
}

// stop kills the registry and every connection to it. What it has stored stays.
func (d *distribution) stop(t *testing.T) {
	t.Helper()
	if d.cmd == nil {
		return
	}
	if err := d.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = d.cmd.Wait() // the error is that it was killed
	d.cmd = nil
}

// lastPort is the last one that freeAddress has tried.
var lastPort atomic.Int32

// freeAddress returns an address of host that nobody listens on, and that it has not returned before. Its port is none of
// those that the system gives to outgoing connections.
func freeAddress(t *testing.T, host string) string {
	t.Helper()
	const first, ports = 10_000, 2_000
	for range ports {
		port := first + int(lastPort.Add(1))%ports
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

func writeFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// patience bounds every wait. It is so long that only what will never happen takes longer.
const patience = 3 * time.Minute

// eventually waits for something outside of this process that tells nobody when it comes.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	if !within(t, patience, is) {
		t.Fatalf("waited %s in vain until %s", patience, what)
	}
}

// within is like eventually and reports whether it came in time.
func within(t *testing.T, limit time.Duration, is func() bool) bool {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			return false
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	return true
}
