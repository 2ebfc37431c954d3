package httpapi

import (
	"context"
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
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"pullwatch/internal/serve/reload"
	"pullwatch/internal/serve/transport/transporttest"
)

// expiry is when the certificate expires that writePair writes with the same name.
var expiry = map[string]time.Time{
	"first": time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), "second": time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC),
}

// writePair writes a certificate with a name, and its key, as tls.crt and tls.key into a new directory below dir.
func writePair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: expiry[name]}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: cert}, "tls.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name, file), pem.EncodeToMemory(&block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// swap makes dir/..data a link to the directory name, as the kubelet does when a Secret changes.
func swap(t *testing.T, dir, name string) {
	t.Helper()
	link := filepath.Join(dir, "next")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// TestARenewedCertificateIsServed: without it clients see an expired one until the server is restarted.
func TestARenewedCertificateIsServed(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "first")
	writePair(t, dir, "second")
	if err := os.Mkdir(filepath.Join(dir, "broken"), 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"first/tls.crt": "broken/tls.crt", "second/tls.key": "broken/tls.key"} {
		if err := os.Link(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s, server := newServed(testLimits, 1<<30)
		swap(t, dir, "first")
		certificate, err := LoadCertificate(filepath.Join(dir, "..data", "tls.crt"), filepath.Join(dir, "..data", "tls.key"), server.options.Logger)
		if err != nil {
			t.Fatal(err)
		}
		server.options.Certificate = certificate
		certificate.register(s.metrics)
		listener := transporttest.Listen()
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- server.Serve(ctx, listener) }()
		expect := func(when, name string) {
			t.Helper()
			client := tls.Client(listener.Dial(t, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}), &tls.Config{InsecureSkipVerify: true})
			if err := client.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := client.ConnectionState().PeerCertificates[0].Subject.CommonName; got != name {
				t.Errorf("%s the %s certificate is served; want the %s", when, got, name)
			}
			client.Close()
			want := "# TYPE pullwatch_tls_certificate_expiration_timestamp_seconds gauge\n" +
				"pullwatch_tls_certificate_expiration_timestamp_seconds " + big.NewFloat(float64(expiry[name].Unix())).Text('g', -1) + "\n"
			if err := testutil.GatherAndCompare(s.metrics, strings.NewReader("# HELP pullwatch_tls_certificate_expiration_timestamp_seconds "+
				"When the server's certificate expires, in seconds since 1970.\n"+want), "pullwatch_tls_certificate_expiration_timestamp_seconds"); err != nil {
				t.Error(err)
			}
		}
		expect("at first", "first")
		swap(t, dir, "broken")
		for range 3 {
			time.Sleep(reload.Interval)
			expect("while the new key is of another certificate,", "first")
		}
		time.Sleep(reload.Interval)
		swap(t, dir, "second")
		expect("when the Secret has changed,", "second")
		swap(t, dir, "first")
		certificate.Reload()
		expect("at SIGHUP", "first")
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		var log []string
		for _, line := range s.log.all() {
			if strings.Contains(line, "certificate") {
				log = append(log, line)
			}
		}
		if len(log) != 3 || !strings.Contains(log[0], "the former one stays in use") || !strings.Contains(log[1], "was renewed") {
			t.Errorf("logged %q; want one line for the broken pair and one for each renewal", log)
		}
	})
}
