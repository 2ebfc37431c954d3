// Package harness is what the packages of end-to-end tests have in common: the cluster, replicas of pullwatch in processes
// of their own, proxies that break connections, and a client of GraphQL.
package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Cluster is the Kubernetes that tests work on.
type Cluster struct {
	// Kubeconfig is a file.
	Kubeconfig string
	// Registry is the host:port of a registry that pods, nodes and this machine speak plain HTTP to.
	Registry string
	Config   *rest.Config
	Client   *kubernetes.Clientset
}

// OpenCluster returns the cluster of the environment variables KUBECONFIG and E2E_REGISTRY, or else that of the lab, which it
// starts unless it runs. dir is the folder e2e/. Programs that the test starts find the cluster and the lab's programs.
func OpenCluster(ctx context.Context, dir string) (Cluster, error) {
	c := Cluster{Kubeconfig: os.Getenv("KUBECONFIG"), Registry: os.Getenv("E2E_REGISTRY")}
	var err error
	if c.Registry == "" {
		if err := c.bringUpLab(ctx, filepath.Join(dir, "lab", "lab")); err != nil {
			return c, fmt.Errorf("bring up the lab: %w", err)
		}
	}
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return c, err
	}
	c.Config.QPS, c.Config.Burst = 100, 200
	c.Client, err = kubernetes.NewForConfig(c.Config)
	return c, err
}

func (c *Cluster) bringUpLab(ctx context.Context, lab string) error {
	up := exec.CommandContext(ctx, lab, "up")
	up.Stderr = os.Stderr
	if err := up.Run(); err != nil {
		return err
	}
	show := exec.CommandContext(ctx, "bash", "-c", `eval "$("$0" env)" && printf '%s\n' "$KUBECONFIG" "$LAB_REGISTRY" "$PATH"`, lab)
	out, err := show.Output()
	if err != nil {
		return err
	}
	var path string
	if _, err := fmt.Sscan(string(out), &c.Kubeconfig, &c.Registry, &path); err != nil {
		return fmt.Errorf("read %q: %w", out, err)
	}
	return errors.Join(os.Setenv("PATH", path), os.Setenv("KUBECONFIG", c.Kubeconfig))
}

// Build makes a program that needs nothing but a kernel, from target in dir.
func Build(ctx context.Context, output, dir, target string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", output, target)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("build %s in %s: %w", target, dir, err), errors.New(string(out)))
	}
	return nil
}

// NamespacePrefix begins the names of all namespaces that tests make.
const NamespacePrefix = "pullwatch-e2e-"

// NewNamespace makes a namespace in which pods can start. It is deleted, with all that is in it, after the test.
func (c *Cluster) NewNamespace(t *testing.T) string {
	t.Helper()
	namespaces := c.Client.CoreV1().Namespaces()
	ns, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: NamespacePrefix}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := namespaces.Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	Eventually(t, "the namespace has its service account", func() bool {
		_, err := c.Client.CoreV1().ServiceAccounts(ns.Name).Get(t.Context(), "default", metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	return ns.Name
}

// NewProxy starts a proxy for the API server. It ends with the test.
func (c *Cluster) NewProxy(t *testing.T) *Proxy {
	t.Helper()
	api, err := url.Parse(c.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	target := api.Host
	if api.Port() == "" {
		target = net.JoinHostPort(api.Hostname(), "443")
	}
	return NewProxy(t, target)
}

// KubeconfigVia returns a file with which a server reaches the cluster through a proxy, which is one of Cluster.NewProxy.
func (c *Cluster) KubeconfigVia(t *testing.T, p *Proxy) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range config.Clusters {
		api, err := url.Parse(cluster.Server)
		if err != nil {
			t.Fatal(err)
		}
		if cluster.TLSServerName == "" {
			cluster.TLSServerName = api.Hostname()
		}
		api.Host = p.Address
		cluster.Server = api.String()
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}
