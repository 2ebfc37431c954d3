package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"

	"k8s.io/client-go/rest"

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
		config, namespace, err := kube.ClientConfig(s.Kubeconfig, s.Namespace)
		if err != nil {
			return cluster{}, fmt.Errorf("no cluster to use (give --kubeconfig, or try it with --demo): %w", err)
		}
		s.Namespace = namespace
		return cluster{config: config}, nil
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
