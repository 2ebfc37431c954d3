package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"pullwatch/internal/demo"
	"pullwatch/internal/pull"
	"pullwatch/internal/replica"
	"pullwatch/kube"
)

// cluster is the Kubernetes to work on.
type cluster struct {
	config    *rest.Config
	simulated *demo.Cluster // nil for a real one
}

// openCluster returns the cluster of s, and sets the settings that follow from it and were not given. The caller closes it.
func (s *serveSettings) openCluster(log *slog.Logger) (cluster, error) {
	if !s.Demo {
		config, err := s.useCluster()
		return cluster{config: config}, err
	}
	simulated, err := demo.New(demo.Options{ActivePulls: s.DemoPulls, Logger: log})
	if err != nil {
		return cluster{}, err
	}
	s.Namespace = cmp.Or(s.Namespace, "pullwatch")
	s.Destination = cmp.Or(s.Destination, "harbor.example/mirror")
	s.CopierImage = cmp.Or(s.CopierImage, "harbor.example/tools/pullwatch:demo")
	// Each demo has a cluster of its own, of which nothing is left in the next.
	s.ClusterName = cmp.Or(s.ClusterName, "demo-"+rand.Text())
	return cluster{simulated.Config(), simulated}, nil
}

// close ends all requests to a simulated cluster.
func (c cluster) close() {
	if c.simulated != nil {
		c.simulated.Close()
	}
}

// parts returns what plays a simulated cluster and calls for pulls there; none for a real one.
func (c cluster) parts(pulls *kube.Pulls) []replica.Part {
	if c.simulated == nil {
		return nil
	}
	start := func(ctx context.Context, images []string) error {
		_, err := pulls.Start(ctx, pull.StartRequest{Images: images})
		return err
	}
	return []replica.Part{func(ctx context.Context) error { return c.simulated.Run(ctx, start) }}
}

// useCluster returns how to reach the cluster, and sets the namespace of the Jobs when none was given.
func (s *serveSettings) useCluster() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = s.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{}
	overrides.Context.Namespace = s.Namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster to use (give --kubeconfig, or try it with --demo): %w", err)
	}
	if s.Namespace, _, err = loader.Namespace(); err != nil {
		return nil, fmt.Errorf("namespace of the Jobs: %w", err)
	}
	// client-go notices only after 45 s that a connection hangs, unless it is told here; it takes that from nowhere else.
	// After 3 s another one is made: the Lease is not lost, and lists are not stale, because of one connection.
	for name, seconds := range map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "1", "HTTP2_PING_TIMEOUT_SECONDS": "2"} {
		if os.Getenv(name) == "" {
			if err := os.Setenv(name, seconds); err != nil {
				return nil, err
			}
		}
	}
	// A burst of starts is 100 Jobs; client-go's default of 5 calls a second would take 20 s for them.
	config.QPS, config.Burst = 100, 200
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.UserAgent = "pullwatch"
	return config, nil
}
