package httpapi

import (
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pullwatch/internal/serve/reload"
)

// Certificate is the server's certificate and its private key, in two files. When these change, the next handshake gets what
// they hold by then. While they hold no pair that can be served, the former one stays in use. Any number of goroutines may use
// a Certificate.
type Certificate struct {
	files *reload.Files[tls.Certificate]
}

// LoadCertificate reads a certificate chain and its private key, both in PEM. An error names the files.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	files, err := reload.Load(reload.Options[tls.Certificate]{
		Names: []string{certFile, keyFile}, MaxBytes: 1 << 20,
		Parse: func(contents [][]byte) (*tls.Certificate, error) {
			pair, err := tls.X509KeyPair(contents[0], contents[1])
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", certFile, keyFile, err)
			}
			return &pair, nil
		},
		Replaced: func(pair *tls.Certificate) {
			logger.Info("the certificate was renewed", "expires", pair.Leaf.NotAfter)
		},
		Failed: func(err error, former *tls.Certificate) {
			logger.Error("the renewed certificate cannot be used; the former one stays in use", "error", err, "expires", former.Leaf.NotAfter)
		},
	})
	if err != nil {
		return nil, err
	}
	return &Certificate{files}, nil
}

// Reload reads the files now.
func (c *Certificate) Reload() { c.files.Reload() }

// get is for tls.Config.GetCertificate. While one handshake reads the files, others get the former certificate.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.files.Get(), nil }

// register registers the metric of the certificate.
func (c *Certificate) register(metrics prometheus.Registerer) {
	promauto.With(metrics).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pullwatch_tls_certificate_expiration_timestamp_seconds",
		Help: "When the server's certificate expires, in seconds since 1970.",
	}, func() float64 { return float64(c.files.Get().Leaf.NotAfter.Unix()) })
}
