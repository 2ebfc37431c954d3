package kube

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ClientConfig returns how to reach the cluster of a kubeconfig file, and the namespace to work in: namespace unless that
// is empty, else the one that the file or the pod is in. Without a file it is the cluster that this process runs in, or the
// one of the usual kubeconfig rules.
func ClientConfig(kubeconfig, namespace string) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	overrides := &clientcmd.ConfigOverrides{}
	overrides.Context.Namespace = namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", err
	}
	if namespace, _, err = loader.Namespace(); err != nil {
		return nil, "", fmt.Errorf("namespace: %w", err)
	}
	// By default client-go takes 45 s to notice that a connection hangs. It reads these settings from the environment only. With
	// them it makes another connection after 3 s, so a connection that hangs costs neither the Lease nor fresh lists.
	for name, seconds := range map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "1", "HTTP2_PING_TIMEOUT_SECONDS": "2"} {
		if os.Getenv(name) == "" {
			if err := os.Setenv(name, seconds); err != nil {
				return nil, "", err
			}
		}
	}
	// A burst of starts is 100 Jobs; client-go's default of 5 calls a second would take 20 s for them.
	config.QPS, config.Burst = 100, 200
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.UserAgent = "pullwatch"
	return config, namespace, nil
}
