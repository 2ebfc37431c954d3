package mirror

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"pullwatch/internal/pull"
)

// inProxy runs a test in a lab where everything is asked through a proxy, which is in a private network, as the
// registries and store.test are not.
func inProxy(t *testing.T, proxied func(http.ResponseWriter, *http.Request) bool, test func(t *testing.T, l *lab, digest v1.Hash)) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, source: newTestRegistry(), destination: newTestRegistry()}
		proxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.Host = "" // the registry would take it for a part of a name
			switch {
			case proxied != nil && proxied(w, r):
			case r.Method == http.MethodConnect:
				http.Error(w, "no tunnels to there", http.StatusForbidden)
			case r.Host == "destination.test":
				l.destination.ServeHTTP(w, r)
			case r.Host == "source.test", r.Host == "store.test":
				l.source.ServeHTTP(w, r)
			default:
				http.Error(w, "no such host", http.StatusBadGateway)
			}
		})
		l.base = newNetwork(t, map[string]http.Handler{"source.test": l.source})
		digest := l.push("source.test/app:1", randomImage(t, 100, 1))
		l.base = newNetworkAt(t, map[string]http.Handler{"proxy.test": proxy}, map[string]string{"proxy.test": "10.0.0.1"})
		l.base.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test", User: url.UserPassword("me", secret)})
		test(t, l, digest)
	})
}

func TestImagesAreCopiedThroughAProxy(t *testing.T) {
	inProxy(t, nil, func(t *testing.T, l *lab, digest v1.Hash) {
		l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if isBlobGet(r) && r.Host == "source.test" {
				sent("http://store.test"+r.URL.Path)(w, r)
				return true
			}
			return false
		}
		l.copyAllowing("store.test").succeeded(t, digest)
	})
}

// A proxy decides where names lead, but a registry cannot make it ask an address.
func TestProxyIsNoWayAroundTheRule(t *testing.T) {
	asked := false
	inProxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		asked = asked || r.Host == "169.254.169.254"
		return false
	}, func(t *testing.T, l *lab, _ v1.Hash) {
		l.source.fault = times(forEver, isBlobGet, sent("http://169.254.169.254/latest"))
		r := l.copyAllowing("169.254.169.254", "169.254.169.254")
		if r.failed(t, pull.ExitPermanent, pull.Invalid, "169.254.169.254", "metadata"); asked {
			t.Error("the proxy was asked for it")
		}
	})
}

// A proxy that fails says nothing about the registry, whose login would go over plain HTTP.
func TestProxyThatFailsIsNoReasonForPlainHTTP(t *testing.T) {
	for _, status := range []int{407, 408, 500, 502, 503, 504} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			plain := false
			fails := func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodConnect {
					plain = true
					return false
				}
				w.WriteHeader(status)
				return true
			}
			inProxy(t, fails, func(t *testing.T, l *lab, _ v1.Hash) {
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				if r.failed(t, pull.ExitTransient, pull.Network, "the proxy proxy.test does not connect to source.test:443"); plain {
					t.Error("plain HTTP was spoken")
				}
			})
		})
	}
}

func TestAProxyThatRefusesIsNamed(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, secret, http.StatusProxyAuthRequired)
		return true
	}
	inProxy(t, refuse, func(t *testing.T, l *lab, _ v1.Hash) {
		r := l.copyWith(t.Context(), Options{Source: "source.test/app:1", Destination: "destination.test/app:1"})
		r.failed(t, pull.ExitTransient, pull.Network, "the proxy proxy.test does not connect to source.test:443", "407")
		if strings.Contains(r.outcome.Message, secret) {
			t.Errorf("message %q", r.outcome.Message)
		}
	})
}
