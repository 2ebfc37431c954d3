package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/turns"
	"pullwatch/kube"
)

const (
	destination = "harbor.example/mirror"
	// copierImage is never run: the pods of these pulls fit on no node.
	copierImage = "harbor.example/tools/pullwatch:bench"
	jobTemplate = `{"spec": {"template": {"spec": {"nodeSelector": {"pullwatch/bench": "no-node"}}}}}`
)

// cluster is the Kubernetes that the pulls are in.
type cluster struct {
	client     kubernetes.Interface
	health     *kube.Health
	kubeconfig string
	// kubectl is the program, of the cluster's version where that is the lab.
	kubectl string
}

// connect returns the cluster of KUBECONFIG, otherwise the lab's, which it starts unless it runs.
func connect(ctx context.Context) (*cluster, error) {
	c := &cluster{kubeconfig: os.Getenv("KUBECONFIG"), kubectl: "kubectl"}
	if c.kubeconfig == "" {
		lab := exec.CommandContext(ctx, "bash", "-c", `e2e/lab/lab up >&2 && eval "$(e2e/lab/lab env)" && echo "$KUBECONFIG" && command -v kubectl`)
		lab.Stderr = os.Stderr
		out, err := lab.Output()
		if err != nil {
			return nil, fmt.Errorf("bring up the lab: %w", err)
		}
		c.kubeconfig, c.kubectl, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return nil, err
	}
	// As the program's own client, but without its limit on calls a second, which is not what is to be measured.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.QPS = -1
	if c.health, err = kube.NewHealth(config, slog.Default()); err != nil {
		return nil, err
	}
	c.client, err = kubernetes.NewForConfig(config)
	return c, err
}

// newNamespace makes a namespace, which is deleted by remove, after an error too.
func (c *cluster) newNamespace(ctx context.Context) (namespace string, remove func(), err error) {
	namespaces := c.client.CoreV1().Namespaces()
	made, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "pullwatch-bench-"}}, metav1.CreateOptions{})
	if err != nil {
		return "", func() {}, fmt.Errorf("make a namespace: %w", err)
	}
	remove = func() {
		// Kubernetes goes on by itself with what is in it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := namespaces.Delete(ctx, made.Name, metav1.DeleteOptions{}); err != nil {
			slog.Error("the namespace of the benchmark stays", "namespace", made.Name, "error", err)
		}
	}
	return made.Name, remove, nil
}

// fill makes n queued pulls in a namespace of their own. The namespace is deleted by remove, after an error too.
func (c *cluster) fill(ctx context.Context, n int) (namespace string, remove func(), err error) {
	if namespace, remove, err = c.newNamespace(ctx); err != nil {
		return "", remove, err
	}
	hub := feed.New("bench")
	hub.SetSynced()
	pulls, err := kube.NewPulls(kube.PullsOptions{
		Client: c.client, Destination: destination, MaxQueued: n, Turns: turns.New(1), Known: hub,
		Tracker: kube.NewTracker(hub, slog.Default()), Health: c.health, Log: slog.Default(),
		Jobs: kube.JobSettings{
			Namespace: namespace, CopierImage: copierImage, Deadline: time.Hour, HistoryTTL: time.Hour, Template: []byte(jobTemplate),
		},
	})
	if err != nil {
		return "", remove, err
	}
	const each = 50 * time.Millisecond // more than a pull takes
	err = within(ctx, startLimit+time.Duration(n)*each, fmt.Sprintf("start %d pulls", n), func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(8) // more at once do not make the API server faster
		for from := 0; from < n; from += pull.MaxStart {
			group.Go(func() error {
				results, err := pulls.Start(ctx, pull.StartRequest{Images: images(from, min(from+pull.MaxStart, n))})
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
	return namespace, remove, err
}

func images(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("registry.example/team-%d/service-%d:1.%d.0", i%7, i%211, i))
	}
	return all
}

// reader returns what lists the pulls straight from Kubernetes, as for a replica that knows nothing of them.
func (c *cluster) reader(namespace string) *kube.Reader {
	return kube.NewReader(c.client, namespace, func(string) *pull.Job { return nil })
}

// cpu returns the CPU time that the API server has used; it is not known when the server does not tell.
func (c *cluster) cpu(ctx context.Context) (time.Duration, bool) {
	text, err := c.client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, false
	}
	seconds := parseMetrics(text)["process_cpu_seconds_total"]
	return time.Duration(seconds * float64(time.Second)), seconds > 0
}

func (c *cluster) version() string {
	info, err := c.client.Discovery().ServerVersion()
	if err != nil || info.Major == "" {
		return "of unknown version"
	}
	return info.Major + "." + info.Minor
}
