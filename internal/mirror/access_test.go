package mirror

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"pullwatch/internal/pull"
)

func TestPlainHTTPIsUsedOnlyWhereNamed(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	l := &lab{t: t, base: newHTTPTransport()}
	// The library would speak plain HTTP to a loopback address by itself.
	r := l.copyWith(t.Context(), Options{Source: host + "/app:1", Destination: host + "/mirror:1"})
	r.failed(t, pull.ExitPermanent, pull.TLS, "The source registry "+host, "--insecure-registry="+host)
	r = l.copyWith(t.Context(),
		Options{Source: host + "/app:1", Destination: host + "/mirror:1", InsecureRegistries: []string{host}})
	r.failed(t, pull.ExitPermanent, pull.NotFound)
}

func TestACertificateOfAnUnknownAuthorityIsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	l := &lab{t: t, base: newHTTPTransport()}
	opts := Options{Source: host + "/app:1", Destination: host + "/mirror:1"}
	l.copyWith(t.Context(), opts).failed(t, pull.ExitPermanent, pull.TLS, "The source registry "+host, "unknown authority")
	l.base = newHTTPTransport()
	l.base.TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	l.copyWith(t.Context(), opts).failed(t, pull.ExitPermanent, pull.NotFound)
}

// A redirect must not lead from a registry with TLS, or to whatever is not named, over plain HTTP.
func TestNoRedirectLeadsToPlainHTTP(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", randomImage(t, 100, 1))
		l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if isBlobGet(r) {
				http.Redirect(w, r, "http://elsewhere.test/x", http.StatusTemporaryRedirect)
			}
			return isBlobGet(r)
		}
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitPermanent, pull.TLS, "The source registry source.test", "plain HTTP to elsewhere.test")
	})
}

func TestEachSideGetsItsOwnCredentials(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		image := randomImage(t, 1000, 2)
		digest := l.push("source.test/app:1", image)
		l.source.fault, l.destination.fault = asksFor("reader", "in"), asksFor("writer", "out")

		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").
			failed(t, pull.ExitPermanent, pull.Unauthorized, "source registry", "without credentials")
		logIn(t, map[string]string{"source.test": "reader:in", "destination.test": "writer:wrong"})
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").
			failed(t, pull.ExitPermanent, pull.Unauthorized, "destination registry", `with the login "destination.test"`)
		logIn(t, map[string]string{"source.test": "reader:in", "destination.test": "writer:out"})
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
	})
}

func asksFor(user, password string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if u, p, _ := r.BasicAuth(); u == user && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		answer(http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`)(w, r)
		return true
	}
}

func logIn(t *testing.T, logins map[string]string) {
	t.Helper()
	var auths []string
	for host, userAndPassword := range logins {
		auths = append(auths, fmt.Sprintf(`%q:{"auth":%q}`, host, base64.StdEncoding.EncodeToString([]byte(userAndPassword))))
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`{"auths":{%s}}`, strings.Join(auths, ","))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
}

func TestRegistriesSeeThatPullwatchAsks(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 100, 1))
		var strange atomic.Pointer[string]
		l.source.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if agent := r.UserAgent(); !strings.HasPrefix(agent, "pullwatch ") {
				strange.Store(&agent)
			}
			return false
		}
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
		if agent := strange.Load(); agent != nil {
			t.Errorf("user agent %q", *agent)
		}
	})
}
