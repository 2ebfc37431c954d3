package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// StartTLS is Start for a server that accepts TLS only. caFile is a PEM file with the authority that signed the server's
// certificate. That one is for 127.0.0.1 and localhost.
func StartTLS(t testing.TB, args ...string) (s *Server, caFile string) {
	t.Helper()
	needRedis(t)
	dir := t.TempDir()
	authority := newCertificate(t, nil, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "test authority"},
		KeyUsage:              x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	})
	server := newCertificate(t, authority, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "test server"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost"},
	})
	caFile = writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", authority.certificate.Raw)
	certFile := writePEM(t, filepath.Join(dir, "server.pem"), "CERTIFICATE", server.certificate.Raw)
	key, err := x509.MarshalPKCS8PrivateKey(server.key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := writePEM(t, filepath.Join(dir, "server.key"), "PRIVATE KEY", key)
	s = start(t, func(port int) []string {
		return append([]string{"--port", "0", "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "no",
			"--tls-ca-cert-file", caFile, "--tls-cert-file", certFile, "--tls-key-file", keyFile}, args...)
	})
	pool := x509.NewCertPool()
	pool.AddCert(authority.certificate)
	s.tls = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return s, caFile
}

type keyPair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newCertificate makes a certificate that parent signs. Without parent it is self-signed.
func newCertificate(t testing.TB, parent *keyPair, template *x509.Certificate) *keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent = &keyPair{certificate: template, key: key}
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent.certificate, &key.PublicKey, parent.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &keyPair{certificate: certificate, key: key}
}

func writePEM(t testing.TB, file, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
