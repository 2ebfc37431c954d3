// Package e2e tests pullwatch as it is used: the program runs as a process of its own, is asked and told over GraphQL
// alone, and works on a real API server, kubelet and registry.
//
// The cluster is the one of these environment variables, or else a lab that TestMain brings up and leaves running
// (lab/lab, which also says how to take it down):
//
//	KUBECONFIG    the cluster
//	E2E_REGISTRY  host:port of a registry that pods, nodes and this machine speak plain HTTP to
//	E2E_HOST      this machine as pods reach it; by default the address from which it reaches the registry itself
//
// kubectl and docker-registry (the program of the distribution project) are to be on the PATH; the lab brings them.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// env is what all tests share. TestMain makes it.
var env environment

type environment struct {
	kubeconfig string
	registry   string
	// host is this machine's address as pods reach it.
	host string
	// binary is the pullwatch program, copier the image of it, and app the image of lab/app.go.
	binary, copier, app string

	config *rest.Config
	client *kubernetes.Clientset
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "pullwatch-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if env, err = prepare(ctx, dir); err != nil {
		return 0, err
	}
	code := m.Run()
	figures.print(os.Stdout)
	return code, nil
}

func prepare(ctx context.Context, dir string) (environment, error) {
	e := environment{kubeconfig: os.Getenv("KUBECONFIG"), registry: os.Getenv("E2E_REGISTRY"), host: os.Getenv("E2E_HOST")}
	var err error
	if e.registry == "" {
		if e.kubeconfig, e.registry, err = bringUpLab(ctx); err != nil {
			return e, fmt.Errorf("bring up the lab: %w", err)
		}
	}
	if e.host == "" {
		if e.host, err = addressTowards(e.registry); err != nil {
			return e, fmt.Errorf("find this machine's address: %w", err)
		}
	}
	if e.config, err = clientcmd.BuildConfigFromFlags("", e.kubeconfig); err != nil {
		return e, err
	}
	e.config.QPS, e.config.Burst = 100, 200
	if e.client, err = kubernetes.NewForConfig(e.config); err != nil {
		return e, err
	}
	e.binary = filepath.Join(dir, "pullwatch")
	if err := build(ctx, e.binary, "..", "."); err != nil {
		return e, err
	}
	app := filepath.Join(dir, "app")
	if err := build(ctx, app, "lab", "app.go"); err != nil {
		return e, err
	}
	if e.copier, err = pushProgram(ctx, e.binary, e.registry+"/e2e/pullwatch"); err != nil {
		return e, err
	}
	e.app, err = pushProgram(ctx, app, e.registry+"/e2e/app")
	return e, err
}

// bringUpLab starts the lab unless it runs, and returns where its cluster and registry are.
func bringUpLab(ctx context.Context) (kubeconfig, registry string, err error) {
	up := exec.CommandContext(ctx, "lab/lab", "up")
	up.Stderr = os.Stderr
	if err := up.Run(); err != nil {
		return "", "", err
	}
	show := exec.CommandContext(ctx, "bash", "-c", `eval "$(lab/lab env)" && printf '%s\n' "$KUBECONFIG" "$LAB_REGISTRY" "$PATH"`)
	out, err := show.Output()
	if err != nil {
		return "", "", err
	}
	var path string
	if _, err := fmt.Sscan(string(out), &kubeconfig, &registry, &path); err != nil {
		return "", "", fmt.Errorf("read %q: %w", out, err)
	}
	return kubeconfig, registry, os.Setenv("PATH", path)
}

// addressTowards returns the address that this machine's packets to a host have. Nothing is sent.
func addressTowards(hostPort string) (string, error) {
	conn, err := net.Dial("udp", hostPort)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}

// build makes a program that needs nothing but a kernel.
func build(ctx context.Context, output, dir, target string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", output, target)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("build %s in %s: %w", target, dir, err), errors.New(string(out)))
	}
	return nil
}
