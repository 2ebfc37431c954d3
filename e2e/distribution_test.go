package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
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

func writeFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
