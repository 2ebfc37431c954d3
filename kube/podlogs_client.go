package kube

import (
	"net/http"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// logWindow bounds what a connection takes in of a log that is not read. By default that is 4 MiB for each log, which the
// many logs of a few slow readers would make a gigabyte of. Less makes the API server wait for it: 128 KiB took a third off
// the speed of a log with long lines.
const logWindow = 512 << 10

// NewLogClient returns a client for NewPodLogs. Its connections are its own, so that logs take neither places nor time on
// those of other requests, and hold little of what is not read. It reads the certificates of authorities in config once.
func NewLogClient(config *rest.Config) (kubernetes.Interface, error) {
	if config.Transport != nil {
		return kubernetes.NewForConfig(config)
	}
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	transport, err := rest.HTTPWrappersForConfig(config, utilnet.SetTransportDefaults(&http.Transport{
		Proxy:              config.Proxy,
		DialContext:        config.Dial,
		TLSClientConfig:    tls,
		DisableCompression: config.DisableCompression,
		HTTP2:              &http.HTTP2Config{MaxReceiveBufferPerStream: logWindow},
	}))
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfigAndClient(config, &http.Client{Transport: transport})
}
