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

// newDistribution starts an empty registry, which ends with the test. access is the part of its configuration on who may
// do what, empty for a registry that is open to all.
func newDistribution(t *testing.T, access string) *distribution {
	t.Helper()
	return newDistributionOn(t, t.TempDir(), access)
}

// newDistributionOn starts a registry that has its blobs in a folder, which several may share.
func newDistributionOn(t *testing.T, data, access string) *distribution {
	t.Helper()
	d := &distribution{host: freeAddress(t, env.host), config: filepath.Join(t.TempDir(), "config.yml")}
	writeFile(t, d.config, fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n%s", data, d.host, access))
	d.start(t)
	t.Cleanup(func() { d.stop(t) })
	return d
}

// loginOnly is for registries that ask everybody for the login above.
func loginOnly(t *testing.T) string {
	t.Helper()
	htpasswd := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, htpasswd, loginHtpasswd+"\n")
	return fmt.Sprintf("auth: {htpasswd: {realm: e2e, path: %s}}\n", htpasswd)
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
