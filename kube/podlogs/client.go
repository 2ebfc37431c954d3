package podlogs

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// logWindow is how many bytes of a log a connection buffers when nobody reads. The default is 4 MiB a log: the many logs of a
// few slow readers would take a gigabyte. Less makes the API server wait: with 128 KiB a log of long lines was a third
// slower.
const logWindow = 512 << 10

// NewClient returns a client for New. It has connections of its own, so that logs do not slow other requests down. These
// buffer little of a log that nobody reads. NewClient reads the CA certificates in config only once.
func NewClient(config *rest.Config) (kubernetes.Interface, error) {
	if config.Transport != nil {
		return kubernetes.NewForConfig(config)
	}
	shared, err := newLogTransport(config)
	if err != nil {
		return nil, err
	}
	own := shared.Clone()
	own.MaxIdleConnsPerHost = maxOwnConnections
	if own.TLSClientConfig != nil {
		own.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	dial := own.DialContext
	own.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(logWindow) // a failure only costs memory
		}
		return conn, err
	}
	transport, err := rest.HTTPWrappersForConfig(config, &logTransport{
		shared: utilnet.SetTransportDefaults(shared), own: utilnet.SetTransportDefaults(own),
		taken: make(chan struct{}, maxOwnConnections),
	})
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfigAndClient(config, &http.Client{Transport: transport})
}

// dialTimeout is how long it may take to connect, and how long a connection may be silent before a keep-alive probe.
const dialTimeout = 30 * time.Second

func newLogTransport(config *rest.Config) (*http.Transport, error) {
	tls, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	dial := config.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: dialTimeout}).DialContext
	}
	return &http.Transport{
		Proxy:              config.Proxy,
		DialContext:        dial,
		TLSClientConfig:    tls,
		DisableCompression: config.DisableCompression,
		HTTP2:              &http.HTTP2Config{MaxReceiveBufferPerStream: logWindow},
	}, nil
}

// maxOwnConnections is how many logs may have connections of their own.
const maxOwnConnections = 50

// logTransport sends requests for watches and followed logs over shared HTTP/2 connections: these requests last long, and
// carry little most of the time. A log that is read to its end comes as fast as it can. It gets an HTTP/1.1 connection of
// its own: without HTTP/2's frames and windows, a log of long lines takes a sixth less CPU, here and in the API server.
type logTransport struct {
	shared, own http.RoundTripper
	// taken has a value for each log with a connection of its own.
	taken chan struct{}
}

func (t *logTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/log") || r.URL.Query().Has("follow") {
		return t.shared.RoundTrip(r)
	}
	select {
	case t.taken <- struct{}{}:
	default:
		return t.shared.RoundTrip(r)
	}
	release := sync.OnceFunc(func() { <-t.taken })
	response, err := t.own.RoundTrip(r)
	if err != nil {
		release()
		return nil, err
	}
	response.Body = &ownBody{response.Body, release}
	return response, nil
}

// ownBody is the body of a response with a connection of its own.
type ownBody struct {
	io.ReadCloser
	release func()
}

func (b *ownBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}
