package httpapi

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// checkInterval is how often handshakes look whether the files of the Certificate have changed.
const checkInterval = time.Second

// Certificate is the server's certificate and its private key, in two files. When these change, the next handshake gets what
// they hold by then. While they hold no pair that can be served, the former one stays in use.
//
// The files are read, not watched: that finds a change however it is made, also by swapped symbolic links, as the kubelet
// does. Any number of goroutines may use a Certificate.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	current atomic.Pointer[tls.Certificate]
	// nextCheck is when the next handshake reads the files, in nanoseconds since 1970.
	nextCheck atomic.Int64

	mu sync.Mutex // while the files are read
	// cert and key are what the files held when they were read last. failure is the error of that reading, empty for none.
	cert, key []byte
	failure   string
}

// LoadCertificate reads a certificate chain and its private key, both in PEM. An error names the files.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	pair, err := c.readLocked() // nobody else has c yet
	if err != nil {
		return nil, err
	}
	c.current.Store(pair)
	c.nextCheck.Store(time.Now().Add(checkInterval).UnixNano())
	return c, nil
}

// readLocked reads the files. It returns nil if they have not changed since they were read last.
func (c *Certificate) readLocked() (*tls.Certificate, error) {
	cert, certErr := os.ReadFile(c.certFile)
	key, keyErr := os.ReadFile(c.keyFile)
	unchanged := bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key)
	c.cert, c.key = cert, key
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, err
	}
	if unchanged {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

// Reload reads the files now.
func (c *Certificate) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloadLocked()
}

func (c *Certificate) reloadLocked() {
	c.nextCheck.Store(time.Now().Add(checkInterval).UnixNano())
	pair, err := c.readLocked()
	switch {
	case err != nil:
		if c.failure != err.Error() {
			c.logger.Error("the renewed certificate cannot be used; the former one stays in use", "error", err, "expires", c.expires())
		}
		c.failure = err.Error()
	case pair != nil:
		c.failure = ""
		c.current.Store(pair)
		c.logger.Info("the certificate was renewed", "expires", c.expires())
	}
}

// get is for tls.Config.GetCertificate. While one handshake reads the files, others get the former certificate.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.check()
	return c.current.Load(), nil
}

// check reads the files if they have not been read for checkInterval, and nobody is reading them.
func (c *Certificate) check() {
	if time.Now().UnixNano() >= c.nextCheck.Load() && c.mu.TryLock() {
		defer c.mu.Unlock()
		c.reloadLocked()
	}
}

func (c *Certificate) expires() time.Time { return c.current.Load().Leaf.NotAfter }

// register registers the metric of the certificate.
func (c *Certificate) register(metrics prometheus.Registerer) {
	promauto.With(metrics).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pullwatch_tls_certificate_expiration_timestamp_seconds",
		Help: "When the server's certificate expires, in seconds since 1970.",
	}, func() float64 {
		c.check()
		return float64(c.expires().Unix())
	})
}
