package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A company's registry has a certificate of the company's own authority, and a login for each project.
func TestPullsWorkWithACompanysCertificateAndLogins(t *testing.T) {
	company := newDistribution(t, loginOnly(t))
	image := company.host + "/team-a/app:1"
	digest := push(t, image, randomImage(t, 100_000, 2), &authn.Basic{Username: loginUser, Password: loginPassword})
	authority := company.serveTLS(t)

	namespace := newNamespace(t)
	stranger := startServer(t, namespace, "--pull-deadline=1m")
	checkFailure(t, stranger.outcome(t, stranger.startOne(t, image).ID), "TLS", company.host, "unknown authority")
	stranger.Terminate(t)

	wrong, right := login{"nobody", "knows"}, login{loginUser, loginPassword}
	createLogins(t, namespace, "logins", map[string]login{
		company.host: wrong, "https://" + company.host + "/team-b": wrong, "https://" + company.host + "/team-a": right,
	})
	if _, err := env.Client.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "authorities"}, Data: map[string]string{"company.crt": string(authority)},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	member := startServer(t, namespace, "--registry-ca=authorities", "--registry-secret=logins")
	checkCopied(t, member.outcome(t, member.startOne(t, image).ID), digest)
	refused := member.outcome(t, member.startOne(t, company.host+"/team-b/app:1").ID)
	checkFailure(t, refused, "UNAUTHORIZED", company.host+"/team-b", "https://"+company.host+"/team-b")
}

// serveTLS starts the registry anew with a certificate for its address, and returns the certificate, which is its own authority.
func (d *distribution) serveTLS(t *testing.T) (authority []byte) {
	t.Helper()
	host, _, err := net.SplitHostPort(d.host)
	if err != nil {
		t.Fatal(err)
	}
	key, certificate := newAuthority(t, host)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	dir := t.TempDir()
	certificateFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeFile(t, certificateFile, string(authority))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))

	d.stop(t)
	config, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	plain := fmt.Sprintf("http: {addr: %q}", d.host)
	secure := fmt.Sprintf("http: {addr: %q, tls: {certificate: %s, key: %s}}", d.host, certificateFile, keyFile)
	writeFile(t, d.config, strings.Replace(string(config), plain, secure, 1))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	d.launch(t)
	eventually(t, "the registry answers over TLS", func() bool {
		resp, err := (&http.Client{Transport: transport}).Get("https://" + d.host + "/v2/")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return true
	})
	return authority
}

// newAuthority makes a certificate authority: a key and its certificate, which is also valid for a server at the IP address.
func newAuthority(t *testing.T, address string) (key *ecdsa.PrivateKey, certificate []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "company"}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, certificate
}
