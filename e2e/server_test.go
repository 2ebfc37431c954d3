package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// server is a replica of pullwatch, in a process of its own.
type server struct {
	address string
	cmd     *exec.Cmd
	log     *output
	// exited is closed when the process has ended, with err.
	exited chan struct{}
	err    error
}

// launch starts a replica whose Jobs are in namespace, with more flags that win over its own. The replica ends with
// the test.
func launch(t *testing.T, namespace string, flags ...string) *server {
	t.Helper()
	address := freeAddress(t, "127.0.0.1")
	args := []string{
		"--listen=" + address, "--namespace=" + namespace, "--copier-image=" + env.copier,
		"--destination=" + env.registry + "/" + namespace, "--insecure-registry=" + env.registry,
	}
	s := &server{address: address, log: &output{}, exited: make(chan struct{})}
	s.cmd = exec.Command(env.binary, append(args, flags...)...)
	s.cmd.Env = append(os.Environ(), "KUBECONFIG="+env.kubeconfig)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		s.terminate(t)
		if t.Failed() {
			t.Logf("the log of the server at %s:\n%s", s.address, s.log)
		}
	})
	return s
}

// startServer starts a replica as launch does and waits until it is ready.
func startServer(t *testing.T, namespace string, flags ...string) *server {
	t.Helper()
	s := launch(t, namespace, flags...)
	eventually(t, "the server is ready", func() bool { return s.status(t, "/readyz") == http.StatusOK })
	return s
}

// status returns the status of an HTTP response, 0 while nobody listens. A server that has ended fails the test.
func (s *server) status(t *testing.T, path string) int {
	t.Helper()
	select {
	case <-s.exited:
		t.Fatalf("the server has ended: %v", s.err)
	default:
	}
	resp, err := http.Get("http://" + s.address + path)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// kill ends the process as a crash does.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
}

// drainLimit is how long a server may take to end when it is asked to.
const drainLimit = 20 * time.Second

// terminate asks the process to end, unless it has, and waits for it.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return // it has ended already
	}
	limit := time.NewTimer(drainLimit)
	defer limit.Stop()
	select {
	case <-s.exited:
		if s.err != nil {
			t.Errorf("the server at %s ended with %v", s.address, s.err)
		}
	case <-limit.C:
		t.Errorf("the server at %s did not end within %s of SIGTERM", s.address, drainLimit)
		s.kill(t)
	}
}

// output keeps what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// namespacePrefix begins the names of all namespaces that tests make.
const namespacePrefix = "pullwatch-e2e-"

// newNamespace makes a namespace in which pods can start. It is deleted, with all that is in it, after the test.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespaces := env.client.CoreV1().Namespaces()
	ns, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: namespacePrefix}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := namespaces.Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the namespace has its service account", func() bool {
		_, err := env.client.CoreV1().ServiceAccounts(ns.Name).Get(t.Context(), "default", metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	return ns.Name
}

// insecure returns the flags for registries that are spoken to over plain HTTP.
func insecure(hosts ...string) []string {
	var flags []string
	for _, host := range hosts {
		flags = append(flags, fmt.Sprintf("--insecure-registry=%s", host))
	}
	return flags
}
