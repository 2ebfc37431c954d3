package mirror

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-containerregistry/pkg/registry"

	"pullwatch/internal/pull"
)

// newTLSRegistry serves an empty registry with a certificate that nobody knows, and returns its host and, in PEM, who
// issued the certificate.
func newTLSRegistry(t *testing.T) (host string, authority []byte) {
	server := httptest.NewUnstartedServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://"),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// The registry lacks the image: its answer shows that it was asked.
func TestInsecureRegistryIsSpokenToOverTLSUnverified(t *testing.T) {
	host, _ := newTLSRegistry(t)
	l := &lab{t: t, base: newHTTPTransport()}
	opts := Options{Source: host + "/app:1", Destination: host + "/mirror:1"}
	l.copyWith(t.Context(), opts).failed(t, pull.ExitPermanent, pull.TLS, "unknown authority")
	opts.InsecureRegistries = []string{host}
	l.copyWith(t.Context(), opts).failed(t, pull.ExitPermanent, pull.NotFound)
}

func TestOnlyTheNamedRegistryIsUnverified(t *testing.T) {
	named, _ := newTLSRegistry(t)
	other, _ := newTLSRegistry(t)
	l := &lab{t: t, base: newHTTPTransport()}
	r := l.copyWith(t.Context(), Options{Source: other + "/app:1", Destination: named + "/mirror:1", InsecureRegistries: []string{named}})
	r.failed(t, pull.ExitPermanent, pull.TLS, "The source registry "+other, "unknown authority")
}

func TestCertificatesOfACompanysAuthorityAreTrusted(t *testing.T) {
	host, authority := newTLSRegistry(t)
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, bad := write("good.pem", authority), write("bad.pem", []byte("no certificate"))
	mounted := filepath.Dir(write("mounted/ca.crt", authority))
	write("mounted/notes.txt", []byte("who issued these"))
	if err := os.Mkdir(filepath.Join(mounted, "..data"), 0o700); err != nil {
		t.Fatal(err)
	}
	for title, test := range map[string]struct {
		files  []string
		reason pull.FailureReason
		words  string
	}{
		"file":                         {[]string{good}, pull.NotFound, ""},
		"directory, as of a ConfigMap": {[]string{mounted}, pull.NotFound, ""},
		"none":                         {nil, pull.TLS, "unknown authority"},
		"file without a certificate":   {[]string{good, bad}, pull.Invalid, "bad.pem: no certificate in PEM"},
		"file that is not there":       {[]string{filepath.Join(dir, "x.pem")}, pull.Invalid, "x.pem"},
		"directory that is not filled": {[]string{t.TempDir()}, pull.Invalid, "no certificate in PEM"},
	} {
		t.Run(title, func(t *testing.T) {
			l := &lab{t: t, base: newHTTPTransport()}
			r := l.copyWith(t.Context(), Options{Source: host + "/app:1", Destination: host + "/mirror:1", Authorities: test.files})
			r.failed(t, pull.ExitPermanent, test.reason, test.words)
		})
	}
}

// listen answers what is dialed at a port, once for each connection.
type listen map[string]func(net.Conn)

// inPorts runs a copy from a registry that answers as the ports do, and returns which ports were dialed.
func inPorts(t *testing.T, ports listen, insecure ...string) (r *run, dialed string) {
	l := &lab{t: t, base: newHTTPTransport()}
	l.base.Proxy = nil
	source := newTestRegistry()
	plain := newNetwork(t, map[string]http.Handler{"source.test": source})
	l.base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(address)
		dialed += " " + port
		answer, ok := ports[port]
		if !ok {
			return plain.DialContext(ctx, network, address)
		}
		client, server := net.Pipe()
		go answer(server)
		return client, nil
	}
	return l.copyWith(t.Context(), Options{Source: "source.test/app:1", Destination: "source.test/mirror:1", InsecureRegistries: insecure}), dialed
}

func TestPlainHTTPOnlyWhereThereIsNoTLS(t *testing.T) {
	silent := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	closing := func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1<<16))
		conn.Close()
	}
	textual := func(conn net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		_, _ = io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\n\r\nhello")
		conn.Close()
	}
	alerting := func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{}).Handshake() // it has no certificate
		conn.Close()
	}
	for title, test := range map[string]struct {
		ports    listen
		insecure []string
		plain    bool
	}{
		"nobody listens for TLS":          {nil, []string{"source.test"}, true},
		"a web server without TLS":        {listen{"443": textual}, []string{"source.test"}, true},
		"a server that hangs up":          {listen{"443": closing}, []string{"source.test"}, true},
		"a server that is silent":         {listen{"443": silent}, []string{"source.test"}, false},
		"a server that has its own ideas": {listen{"443": alerting}, []string{"source.test"}, false},
		"a registry that is not named":    {nil, nil, false},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, dialed := inPorts(t, test.ports, test.insecure...)
				if spoken := r.outcome.Reason == pull.NotFound; spoken != test.plain || strings.Contains(dialed, " 80") != test.plain {
					t.Errorf("dialed%s: %+v", dialed, r.outcome)
				}
			})
		})
	}
}
