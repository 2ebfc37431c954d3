// Package e2e tests pullwatch as it is used. The program runs in a process of its own, and tests talk to it over GraphQL alone. It
// works on a real API server, kubelet and registry.
//
// These environment variables name the cluster. Without them TestMain starts a lab and leaves it running (lab/lab, which also
// says how to stop it):
//
//	KUBECONFIG    the cluster
//	E2E_REGISTRY  host:port of a registry that pods, nodes and this machine speak plain HTTP to
//	E2E_HOST      this machine as pods reach it; by default the address from which it reaches the registry itself
//
// kubectl and docker-registry (the program of the distribution project) must be on the PATH; the lab brings them. So must nginx,
// which the lab does not bring (Debian: nginx-light).
//
// Tests that mostly wait for Kubernetes call t.Parallel: they run beside each other when all others have ended. None of them measures.
package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pullwatch/e2e/harness"
)

// env is the environment that all tests share. TestMain makes it.
var env environment

type environment struct {
	harness.Cluster
	// host is this machine's address as pods reach it.
	host string
	// binary is the pullwatch program, copier the image of it, and app the image of lab/app.go.
	binary, copier, app string
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
	e := environment{host: os.Getenv("E2E_HOST")}
	var err error
	if e.Cluster, err = harness.OpenCluster(ctx, "."); err != nil {
		return e, err
	}
	if e.host == "" {
		if e.host, err = addressTowards(e.Registry); err != nil {
			return e, fmt.Errorf("find this machine's address: %w", err)
		}
	}
	e.binary = filepath.Join(dir, "pullwatch")
	if err := harness.Build(ctx, e.binary, "..", "."); err != nil {
		return e, err
	}
	app := filepath.Join(dir, "app")
	if err := harness.Build(ctx, app, "lab", "app.go"); err != nil {
		return e, err
	}
	if e.copier, err = pushProgram(ctx, e.binary, e.Registry+"/e2e/pullwatch"); err != nil {
		return e, err
	}
	e.app, err = pushProgram(ctx, app, e.Registry+"/e2e/app")
	return e, err
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
