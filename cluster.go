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

// cluster is the Kubernetes cluster to work on.
type cluster struct {
	config    *rest.Config
	simulated *demo.Cluster // nil for a real one
}

// openCluster returns the cluster to work on. It sets settings that were not given to the values of this cluster. The caller closes
// the cluster.
func (s *serveSettings) openCluster(logger *slog.Logger) (cluster, error) {
	if !s.Demo {
		config, namespace, err := kube.ClientConfig(s.Kubeconfig, s.Namespace)
		if err != nil {
			return cluster{}, fmt.Errorf("no cluster to use (give --kubeconfig, or try it with --demo): %w", err)
		}
		s.Namespace = namespace
		return cluster{config: config}, nil
	}
	simulated, err := demo.New(demo.Options{ActivePulls: s.DemoPulls, Logger: logger})
	if err != nil {
		return cluster{}, err
	}
	s.Namespace = cmp.Or(s.Namespace, "pullwatch")
	s.Destination = cmp.Or(s.Destination, "harbor.example/mirror")
	s.CopierImage = cmp.Or(s.CopierImage, "harbor.example/tools/pullwatch:demo")
	// Each demo is another cluster. What an earlier demo left in Redis is not of this one.
	s.ClusterName = cmp.Or(s.ClusterName, "demo-"+rand.Text())
	return cluster{simulated.Config(), simulated}, nil
}

// close ends all requests to a simulated cluster. The caller calls it when nothing uses the cluster any more.
func (c cluster) close() {
	if c.simulated != nil {
		c.simulated.Close()
	}
}

// parts returns the part that runs a simulated cluster and starts pulls in it. There is none for a real cluster.
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
