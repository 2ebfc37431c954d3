package mirror

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"pullwatch/internal/pull"
)

// From each zone into each.
func TestARegistrySendsTheCopierNoCloserThanItselfIs(t *testing.T) {
	const (
		public, private, loopback, linkLocal = "198.51.100.1", "10.0.0.1", "127.0.0.1", "169.254.0.1"
	)
	for title, test := range map[string]struct {
		registry []string
		to       string
		allowed  []string
		may      bool
	}{
		"public to public":                {[]string{public}, "203.0.113.7", nil, true},
		"public to private":               {[]string{public}, "10.0.0.5", nil, false},
		"public to private 172":           {[]string{public}, "172.16.0.5", nil, false},
		"public to private 192":           {[]string{public}, "192.168.0.5", nil, false},
		"public to private IPv6":          {[]string{public}, "fd00::5", nil, false},
		"public to a carrier's":           {[]string{public}, "100.64.0.5", nil, false},
		"public to private, allowed":      {[]string{public}, "10.0.0.5", []string{"store.test"}, true},
		"public to private, port allowed": {[]string{public}, "10.0.0.5", []string{"Store.test:9000"}, true},
		"another port allowed":            {[]string{public}, "10.0.0.5", []string{"store.test:80"}, false},
		"another host allowed":            {[]string{public}, "10.0.0.5", []string{"other.test"}, false},
		"public to loopback":              {[]string{public}, "127.0.0.5", nil, false},
		"public to loopback, allowed":     {[]string{public}, "127.0.0.5", []string{"store.test"}, false},
		"public to loopback IPv6":         {[]string{public}, "::1", nil, false},
		"public to link-local":            {[]string{public}, "169.254.169.254", nil, false},
		"private to public":               {[]string{private}, public, nil, true},
		"private to private":              {[]string{private}, "192.168.0.5", nil, true},
		"private to private IPv6":         {[]string{private}, "fd00::5", nil, true},
		"private to loopback":             {[]string{private}, "127.0.0.1", nil, false},
		"private to link-local":           {[]string{private}, "169.254.169.254", []string{"store.test"}, false},
		"loopback to loopback":            {[]string{loopback}, "127.0.0.5", nil, true},
		"loopback to private":             {[]string{loopback}, "10.0.0.5", nil, true},
		"loopback to link-local":          {[]string{loopback}, "169.254.169.254", nil, false},
		"link-local to itself":            {[]string{linkLocal}, linkLocal, nil, true},
		"link-local to another":           {[]string{linkLocal}, "169.254.169.254", nil, false},
		"metadata in a private network":   {[]string{private}, "fd00:ec2::254", nil, false},
		"metadata in a carrier's":         {[]string{private}, "100.100.100.200", nil, false},
		"metadata at a public address":    {[]string{public}, "168.63.129.16", nil, false},
		"no address":                      {[]string{loopback}, "0.0.0.0", nil, false},
		"IPv4 in IPv6":                    {[]string{public}, "::ffff:169.254.169.254", nil, false},
		"IPv4 behind NAT64":               {[]string{public}, "64:ff9b::a9fe:a9fe", nil, false},
		"with a zone":                     {[]string{public}, "fe80::1%eth0", nil, false},
		// Whoever decides what a name resolves to can add a private address to it.
		"a name that is public and private":              {[]string{public, private}, "10.0.0.5", nil, false},
		"a name that is public and private, to the same": {[]string{public, private}, private, nil, false},
		"a name that is public and link-local":           {[]string{public, linkLocal}, linkLocal, nil, false},
		"a name that is public and loopback":             {[]string{public, loopback}, loopback, nil, false},
		"a registry that is not known yet":               {nil, "10.0.0.5", nil, false},
	} {
		t.Run(title, func(t *testing.T) {
			r := newReach("registry.test", test.allowed)
			for _, addr := range test.registry {
				r.foundAt(canonical(netip.MustParseAddr(addr)))
			}
			err := r.check("store.test:9000", canonical(netip.MustParseAddr(test.to)))
			if (err == nil) != test.may {
				t.Errorf("error %v, want that it may: %t", err, test.may)
			}
		})
	}
}

func TestAddressesInURLsSurviveTheRegistryLibrary(t *testing.T) {
	for host, want := range map[string]string{
		"10.0.0.5":           "10.0.0.5.address.invalid",
		"10.0.0.5:9000":      "10.0.0.5.address.invalid:9000",
		"[fd00::5]":          "fd00--5.address.invalid",
		"[fd00::5]:9000":     "fd00--5.address.invalid:9000",
		"127.1":              "127.1.address.invalid",
		"0x7f000001":         "0x7f000001.address.invalid",
		"2130706433:80":      "2130706433.address.invalid:80",
		"203.0.113.7":        "203.0.113.7",
		"[2001:db8::1]:5000": "[2001:db8::1]:5000",
		"store.test":         "store.test",
		"store-1.test:9000":  "store-1.test:9000",
		"":                   "",
	} {
		if got := alias(host); got != want || unalias(got) != host {
			t.Errorf("alias(%q) is %q, want %q; and back it is %q", host, got, want, unalias(got))
		}
	}
}

// ways are those in which a registry sends the copier to a host, for which everything is there.
func ways(l *lab, host string) map[string]func() {
	to := "http://" + host
	return map[string]func(){
		"manifest": func() {
			l.source.fault = times(forEver, method("GET", "/manifests/"), func(w http.ResponseWriter, r *http.Request) {
				sent(to+r.URL.Path)(w, r)
			})
		},
		"blob": func() {
			l.source.fault = times(forEver, isBlobGet, func(w http.ResponseWriter, r *http.Request) { sent(to+r.URL.Path)(w, r) })
		},
		"blob, in two steps": func() {
			l.source.fault = times(forEver, isBlobGet, func(w http.ResponseWriter, r *http.Request) { sent(to+"/again"+r.URL.Path)(w, r) })
		},
		"realm": func() { l.source.fault = tokenNeeded(to + "/token") },
		"realm that redirects": func() {
			l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
				return times(forEver, method("GET", "/token"), sent(to+"/token"))(w, r) || tokenNeeded("http://source.test/token")(w, r)
			}
		},
		"location": func() {
			l.destination.fault = times(forEver, method("POST", "/uploads/"), func(w http.ResponseWriter, r *http.Request) {
				answer := newHeaderRecorder(w)
				l.destination.handler.ServeHTTP(answer, r)
				w.Header().Set("Location", to+answer.Header().Get("Location"))
				w.WriteHeader(answer.status)
			})
		},
	}
}

// headerRecorder keeps a status back, so that headers can still be changed.
type headerRecorder struct {
	http.ResponseWriter
	status int
}

func newHeaderRecorder(w http.ResponseWriter) *headerRecorder {
	return &headerRecorder{w, http.StatusOK}
}
func (r *headerRecorder) WriteHeader(status int) { r.status = status }

// inNetwork runs a test for each way in which a registry at one address can send to a host at another.
func inNetwork(t *testing.T, registry, host, hostAt string, test func(t *testing.T, l *lab, asked *int)) {
	for way := range ways(nil, "") {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				l := &lab{t: t, source: newTestRegistry(), destination: newTestRegistry()}
				elsewhere := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked++
					if r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" {
						t.Errorf("a login or a signature was sent to another host: %v", r.Header)
					}
					path, again := strings.CutPrefix(r.URL.Path, "/again")
					switch {
					case again:
						sent("http://"+host+path)(w, r)
					case r.URL.Path == "/token":
						_, _ = io.WriteString(w, `{"token":"good"}`)
					case strings.Contains(r.URL.Path, "/uploads/"):
						l.destination.handler.ServeHTTP(w, r)
					default:
						l.source.handler.ServeHTTP(w, r)
					}
				})
				hostname, _ := splitPort(host)
				l.base = newNetworkAt(t, map[string]http.Handler{
					"source.test": l.source, "destination.test": l.destination, hostname: elsewhere,
				}, map[string]string{"source.test": registry, "destination.test": registry, hostname: hostAt})
				l.push("source.test/app:1", randomImage(t, 100, 1))
				ways(l, host)[way]()
				test(t, l, &asked)
			})
		})
	}
}

func (l *lab) copyAllowing(host string, allowed ...string) *run {
	l.t.Helper()
	return l.copyWith(l.t.Context(), Options{Source: "source.test/app:1", Destination: "destination.test/app:1",
		InsecureRegistries: []string{"source.test", "destination.test", host}, AllowPrivateHosts: allowed})
}

func TestPublicRegistryCannotHavePrivateHostsAsked(t *testing.T) {
	for title, host := range map[string]struct{ name, at string }{
		"name":               {"store.test", "10.0.0.5"},
		"address":            {"10.0.0.5", "10.0.0.5"},
		"loopback":           {"127.0.0.1", "127.0.0.1"},
		"name of loopback":   {"store.test", "127.0.0.1"},
		"another loopback":   {"127.1", "127.0.0.1"},
		"metadata":           {"169.254.169.254", "169.254.169.254"},
		"name of metadata":   {"metadata.test", "169.254.169.254"},
		"IPv6 of a metadata": {"[fd00:ec2::254]", "fd00:ec2::254"},
	} {
		t.Run(title, func(t *testing.T) {
			inNetwork(t, "198.51.100.1", host.name, host.at, func(t *testing.T, l *lab, asked *int) {
				r := l.copyAllowing(host.name)
				r.failed(t, pull.ExitPermanent, pull.Invalid, "sends to where it may not", strings.Trim(host.name, "[]"))
				if *asked > 0 || r.said("Retrying") || strings.Contains(r.outcome.Message, "address.invalid") {
					t.Errorf("asked %d times: %q", *asked, r.outcome.Message)
				}
				if private := host.at == "10.0.0.5"; private != strings.Contains(r.outcome.Message, "--allow-private-host="+host.name) {
					t.Errorf("message %q", r.outcome.Message)
				}
			})
		})
	}
}

func TestBlobsComeFromStoresInPrivateNetworksWhereTheyMay(t *testing.T) {
	for title, test := range map[string]struct {
		registry, host, at string
		allowed            []string
	}{
		"registry and name in one network":     {"10.0.0.1", "store.test", "10.0.0.5", nil},
		"registry and address in one network":  {"10.0.0.1", "10.0.0.5", "10.0.0.5", nil},
		"IPv6 address":                         {"10.0.0.1", "[fd00::5]", "fd00::5", nil},
		"all on this machine":                  {"127.0.0.1", "127.0.0.2", "127.0.0.2", nil},
		"public registry, allowed name":        {"198.51.100.1", "store.test", "10.0.0.5", []string{"store.test"}},
		"public registry, allowed address":     {"198.51.100.1", "10.0.0.5", "10.0.0.5", []string{"10.0.0.5"}},
		"private registry with a public store": {"10.0.0.1", "store.test", "198.51.100.5", nil},
	} {
		t.Run(title, func(t *testing.T) {
			inNetwork(t, test.registry, test.host, test.at, func(t *testing.T, l *lab, asked *int) {
				if r := l.copyAllowing(test.host, test.allowed...); r.code != pull.ExitDone || *asked == 0 {
					t.Errorf("exit code %d, asked %d times: %q", r.code, *asked, r.outcome.Message)
				}
			})
		})
	}
}
