package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"pullwatch/internal/pull"
	"pullwatch/internal/replica"
	"pullwatch/kube"
)

const (
	root        = "../.." // of the repository
	destination = "harbor.example/mirror"
	// copierImage never runs: the pods of these pulls fit on no node.
	copierImage = "harbor.example/tools/pullwatch:bench"
	jobTemplate = `{"spec": {"template": {"spec": {"nodeSelector": {"pullwatch/bench": "no-node"}}}}}`
)

// cluster is the Kubernetes that is measured, and the program that serves it.
type cluster struct {
	client     kubernetes.Interface
	config     *rest.Config
	kubeconfig string
	version    string
	kubectl    string // the program, of the cluster's version where that is the lab
	pullwatch  string // the program
}

// connect builds pullwatch and returns the cluster of KUBECONFIG, otherwise the lab's, which it starts unless it runs.
func (b *bench) connect(ctx context.Context) (*cluster, error) {
	c := &cluster{kubeconfig: os.Getenv("KUBECONFIG"), kubectl: "kubectl", pullwatch: filepath.Join(b.dir, "pullwatch")}
	build := exec.CommandContext(ctx, "go", "build", "-C", root, "-o", c.pullwatch, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build pullwatch: %w", err)
	}
	if c.kubeconfig == "" {
		lab := exec.CommandContext(ctx, "bash", "-c", `e2e/lab/lab up >&2 && eval "$(e2e/lab/lab env)" && echo "$KUBECONFIG" && command -v kubectl`)
		lab.Dir, lab.Stderr = root, os.Stderr
		out, err := lab.Output()
		if err != nil {
			return nil, fmt.Errorf("bring up the lab: %w", err)
		}
		c.kubeconfig, c.kubectl, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	}
	var err error
	if c.config, _, err = kube.ClientConfig(c.kubeconfig, ""); err != nil {
		return nil, err
	}
	c.config.QPS = -1 // no limit on calls a second
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		return nil, err
	}
	info, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return nil, err
	}
	c.version = info.Major + "." + info.Minor
	return c, nil
}

// newNamespace makes a namespace, and deletes it at the end of the scope.
func (b *bench) newNamespace(ctx context.Context, c *cluster) (string, error) {
	namespaces := c.client.CoreV1().Namespaces()
	made, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "pullwatch-bench-"}}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	b.atEnd(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := namespaces.Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
			slog.Error("the namespace of the benchmark stays", "namespace", made.Name, "error", err)
		}
	})
	return made.Name, nil
}

// fill makes n queued pulls in a namespace.
func (c *cluster) fill(ctx context.Context, namespace string, n int) error {
	starter, err := replica.New(replica.Options{
		Resources: newResources(), Config: rest.CopyConfig(c.config), Destination: destination, MaxQueued: n,
		Jobs: kube.JobSettings{
			Namespace: namespace, CopierImage: copierImage, Deadline: time.Hour, HistoryTTL: time.Hour, Template: []byte(jobTemplate),
		},
	})
	if err != nil {
		return err
	}
	defer starter.Close()
	starter.Hub.SetSynced()            // the namespace is empty
	const each = 50 * time.Millisecond // more than a pull takes
	return within(ctx, startLimit+time.Duration(n)*each, fmt.Sprintf("start %d pulls", n), func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(8) // more at a time do not make the API server faster
		for from := 0; from < n; from += pull.MaxStart {
			group.Go(func() error {
				var images []string
				for i := from; i < min(from+pull.MaxStart, n); i++ {
					images = append(images, imageName(i))
				}
				results, err := starter.Pulls.Start(ctx, pull.StartRequest{Images: images})
				for _, result := range results {
					if result.Error != nil {
						err = errors.Join(err, result.Error)
					}
				}
				return err
			})
		}
		return group.Wait()
	})
}

// cpu is the API server's meter.
func (c *cluster) cpu(ctx context.Context) float64 {
	text, err := c.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return math.NaN()
	}
	return parseMetric(text, "process_cpu_seconds_total")
}

// startReplica starts pullwatch for a namespace and waits until it is ready.
func (b *bench) startReplica(ctx context.Context, c *cluster, namespace string, flags ...string) (*process, error) {
	p, err := b.start(c.pullwatch, func(host, port string) []string {
		return append(flags, "--listen="+host+":"+port, "--kubeconfig="+c.kubeconfig, "--namespace="+namespace,
			"--copier-image="+copierImage, "--destination="+destination, "--max-parallel=1", "--log-level=warn")
	})
	if err != nil {
		return nil, err
	}
	return p, await(ctx, "the server is ready", func(ctx context.Context) error {
		_, err := p.get(ctx, "/readyz")
		return err
	})
}
