package mirror

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-containerregistry/pkg/name"

	"pullwatch/internal/pull"
)

// The keys of an image pull secret mean what they mean to the kubelet. Each key's user has the key as its name.
func TestLoginsMatchAsInImagePullSecrets(t *testing.T) {
	for title, test := range map[string]struct {
		image string
		keys  []string
		// want has the logins in the order in which they are tried.
		want   []string
		others bool
	}{
		"host":                        {"r.test/a/b", []string{"r.test"}, []string{"r.test"}, false},
		"another host":                {"r.test/a/b", []string{"other.test"}, nil, false},
		"scheme":                      {"r.test/a/b", []string{"https://r.test"}, []string{"https://r.test"}, false},
		"plain scheme":                {"r.test/a/b", []string{"http://r.test/"}, []string{"http://r.test/"}, false},
		"old path":                    {"r.test/a/b", []string{"https://r.test/v2/"}, []string{"https://r.test/v2/"}, false},
		"old path without a slash":    {"r.test/a/b", []string{"https://r.test/v1"}, []string{"https://r.test/v1"}, false},
		"path below an old path":      {"r.test/a/b", []string{"https://r.test/v2/a"}, []string{"https://r.test/v2/a"}, false},
		"port":                        {"r.test:5000/a", []string{"r.test:5000"}, []string{"r.test:5000"}, false},
		"no port where one is needed": {"r.test:5000/a", []string{"r.test"}, nil, false},
		"another port":                {"r.test/a", []string{"r.test:5000"}, nil, false},
		"upper case":                  {"r.test/a", []string{"R.Test"}, []string{"R.Test"}, false},
		"path":                        {"r.test/a/b", []string{"r.test/a"}, []string{"r.test/a"}, false},
		"path with a slash":           {"r.test/a/b", []string{"r.test/a/"}, []string{"r.test/a/"}, false},
		"whole repository":            {"r.test/a/b", []string{"r.test/a/b"}, []string{"r.test/a/b"}, false},
		"another repository":          {"r.test/a/b", []string{"r.test/other/repo"}, nil, true},
		"below the repository":        {"r.test/a", []string{"r.test/a/b"}, nil, true},
		"a path that only begins so":  {"r.test/team-b/x", []string{"r.test/team"}, nil, true},
		"the longest path first": {"r.test/a/b/c", []string{"r.test", "r.test/a/b", "r.test/a", "r.test/a/x"},
			[]string{"r.test/a/b", "r.test/a", "r.test"}, true},
		"glob":                       {"eu.r.test/a", []string{"*.r.test"}, []string{"*.r.test"}, false},
		"glob spans no dot":          {"a.eu.r.test/a", []string{"*.r.test"}, nil, false},
		"glob needs a label":         {"r.test/a", []string{"*.r.test"}, nil, false},
		"part of a label":            {"eu-good.r.test/a", []string{"*-good.r.test"}, []string{"*-good.r.test"}, false},
		"glob with port and path":    {"eu.r.test:5000/a/b", []string{"*.r.test:5000/a"}, []string{"*.r.test:5000/a"}, false},
		"no glob in paths":           {"r.test/a/b", []string{"r.test/*"}, nil, true},
		"name before glob":           {"eu.r.test/a", []string{"*.r.test", "eu.r.test"}, []string{"eu.r.test", "*.r.test"}, false},
		"path before name":           {"eu.r.test/a", []string{"*.r.test/a", "eu.r.test"}, []string{"*.r.test/a", "eu.r.test"}, false},
		"a glob that is none":        {"r.test/a", []string{"[.test"}, nil, false},
		"Docker Hub as docker login": {"nginx", []string{"https://index.docker.io/v1/"}, []string{"https://index.docker.io/v1/"}, false},
		"Docker Hub by its name":     {"nginx", []string{"docker.io"}, []string{"docker.io"}, false},
		"Docker Hub's organisation":  {"docker.io/team/x", []string{"docker.io/team", "docker.io/other"}, []string{"docker.io/team"}, true},
		"IPv6":                       {"[fd00::1]:5000/a", []string{"[fd00::1]:5000"}, []string{"[fd00::1]:5000"}, false},
		"scheme and none":            {"r.test/a", []string{"r.test", "https://r.test"}, []string{"https://r.test", "r.test"}, false},
	} {
		t.Run(title, func(t *testing.T) {
			logins := map[string]string{}
			for _, key := range test.keys {
				logins[key] = "user:password"
			}
			logIn(t, logins)
			ref, err := name.ParseReference(test.image)
			if err != nil {
				t.Fatal(err)
			}
			found, others, err := findLogins(ref.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range found {
				got = append(got, l.key)
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) || others != test.others {
				t.Errorf("got %q, others %t; want %q, %t", got, others, test.want, test.others)
			}
		})
	}
}

// users records who asks a registry for what, and lets in who may.
func users(registry *testRegistry, may func(user, path string) bool) *sync.Map {
	var seen sync.Map
	registry.fault = func(w http.ResponseWriter, r *http.Request) bool {
		user, _, known := r.BasicAuth()
		if known {
			seen.Store(user, true)
		}
		if !known {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			answer(http.StatusUnauthorized, `{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}`)(w, r)
			return true
		}
		if r.URL.Path != "/v2/" && !may(user, r.URL.Path) {
			answer(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"not you"}]}`)(w, r)
			return true
		}
		return false
	}
	return &seen
}

func TestLoginOfAnotherRepositoryIsNotSent(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", randomImage(t, 100, 1))
		logIn(t, map[string]string{"source.test/other/repo": "stranger:x", "source.test/ap": "neighbour:x"})
		seen := users(l.source, func(string, string) bool { return false })
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitPermanent, pull.Unauthorized, "without credentials", "are for other repositories")
		seen.Range(func(user, _ any) bool {
			t.Errorf("the login of %s was sent", user)
			return true
		})
	})
}

func TestEachProjectGetsItsOwnLogin(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/team-a/app:1", randomImage(t, 100, 1))
		logIn(t, map[string]string{
			"source.test/team-a": "team-a:x", "source.test/team-b": "team-b:x", "source.test/team": "team:x",
			"*.test/mirror": "writer:x", "destination.test": "reader:x",
		})
		own := func(user, path string) bool { return strings.HasPrefix(path, "/v2/"+user+"/") }
		from, to := users(l.source, own), users(l.destination, func(user, _ string) bool { return user == "writer" })
		l.copy(t.Context(), "source.test/team-a/app:1", "destination.test/mirror/app:1").succeeded(t, digest)
		for _, user := range []string{"team-b", "team"} {
			if _, sent := from.Load(user); sent {
				t.Errorf("the login of %s was sent", user)
			}
		}
		if _, sent := to.Load("reader"); sent {
			t.Error("a login was sent that is not the best")
		}
	})
}

// The kubelet tries all logins that match, in turn.
func TestTheNextLoginIsTriedWhenTheBestIsRefused(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/a/b:1", randomImage(t, 100, 1))
		logIn(t, map[string]string{
			"source.test/a/b": "old:x", "source.test/a": "new:x", "source.test": "admin:x",
			"destination.test/a": "old:x", "destination.test": "new:x",
		})
		isNew := func(user, _ string) bool { return user == "new" }
		users(l.source, isNew)
		users(l.destination, isNew)
		l.copy(t.Context(), "source.test/a/b:1", "destination.test/a/b:1").succeeded(t, digest)
		users(l.source, func(string, string) bool { return false })
		l.copy(t.Context(), "source.test/a/b:1", "destination.test/a/b:2").
			failed(t, pull.ExitPermanent, pull.Unauthorized, `with the login "source.test/a/b"`, "not you")
	})
}

func TestRefusedLoginIsNamedWithoutItsSecret(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/team/app:1", randomImage(t, 100, 1))
		logIn(t, map[string]string{"*.test/team": "robot:" + secret})
		users(l.source, func(string, string) bool { return false })
		r := l.copy(t.Context(), "source.test/team/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitPermanent, pull.Unauthorized, `with the login "*.test/team"`)
		encoded := base64.StdEncoding.EncodeToString([]byte("robot:" + secret))
		if r.said(secret) || r.said(encoded) || r.said("robot") {
			t.Errorf("message %q", r.outcome.Message)
		}
	})
}

// registry.k8s.io redirects manifests to other hosts, other registries blobs, some of them to subdomains of their own.
func TestLoginStaysWithItsRegistry(t *testing.T) {
	for _, host := range []string{"elsewhere.test", "cdn.source.test"} {
		t.Run(host, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lab{t: t, source: newTestRegistry(), destination: newTestRegistry()}
				l.base = newNetwork(t, map[string]http.Handler{
					"source.test": l.source, "destination.test": l.destination,
					host: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.Header.Get("Authorization") != "" {
							t.Error("another host got the login")
						}
						l.source.handler.ServeHTTP(w, r)
					}),
				})
				digest := l.push("source.test/app:1", randomImage(t, 100, 1))
				logIn(t, map[string]string{"source.test": "user:" + secret})
				knownUser := asksFor("user", secret)
				l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
					if !knownUser(w, r) && r.URL.Path != "/v2/" {
						sent("http://"+host+r.URL.Path)(w, r)
					}
					return r.URL.Path != "/v2/" || r.Header.Get("Authorization") == ""
				}
				l.copyAllowing(host).succeeded(t, digest)
			})
		})
	}
}

// What a shell's Docker configuration has besides auths.
func TestCredentialHelpersAreAsked(t *testing.T) {
	dir := t.TempDir()
	helper := "#!/bin/sh\nread server\ncase $server in r.test) echo '{\"ServerURL\":\"r.test\",\"Username\":\"u\",\"Secret\":\"s\"}';;\n" +
		"*) echo 'credentials not found in native keychain'; exit 1;; esac\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-lab"), []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	const fromAuths = `"auths":{"r.test":{"auth":"dTpw"}}`
	for title, test := range map[string]struct {
		config, image, want string
	}{
		"helper of the registry":         {`{"credHelpers":{"r.test":"lab"}}`, "r.test/a", "docker-credential-lab"},
		"helper before auths":            {`{"credHelpers":{"r.test":"lab"},` + fromAuths + `}`, "r.test/a", "docker-credential-lab"},
		"helper that has nothing":        {`{"credHelpers":{"r.test/a":"lab"},` + fromAuths + `}`, "r.test/a", "r.test"},
		"store":                          {`{"credsStore":"lab","auths":{"r.test":{}}}`, "r.test/a", "docker-credential-lab"},
		"store behind auths":             {`{"credsStore":"lab",` + fromAuths + `}`, "r.test/a", "r.test"},
		"store that has nothing":         {`{"credsStore":"lab"}`, "other.test/a", ""},
		"helper of another registry":     {`{"credHelpers":{"r.test":"lab"}}`, "other.test/a", ""},
		"identity token":                 {`{"auths":{"r.test":{"auth":"MDAwOg==","identitytoken":"t"}}}`, "r.test/a", "r.test"},
		"registry token":                 {`{"auths":{"r.test":{"registrytoken":"t"}}}`, "r.test/a", "r.test"},
		"entry without a secret":         {`{"auths":{"r.test":{}}}`, "r.test/a", ""},
		"entry with only a mail address": {`{"auths":{"r.test":{"email":"a@b.c"}}}`, "r.test/a", ""},
	} {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(test.config), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("DOCKER_CONFIG", dir)
			ref, err := name.ParseReference(test.image)
			if err != nil {
				t.Fatal(err)
			}
			logins, _, err := findLogins(ref.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := chooseLogin(logins, nil).key; got != test.want {
				t.Errorf("got the login %q, want %q", got, test.want)
			}
		})
	}
}
