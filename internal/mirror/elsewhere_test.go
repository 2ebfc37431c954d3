package mirror

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"pullwatch/internal/pull"
)

// secret is in everything that the host answers that nobody meant to ask.
const secret = "hunter2"

// inLabWith runs a test in a lab with one more host, elsewhere.test.
func inLabWith(t *testing.T, elsewhere http.HandlerFunc, test func(t *testing.T, l *lab)) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, source: newTestRegistry(), destination: newTestRegistry()}
		l.base = newNetwork(t, map[string]http.Handler{
			"source.test": l.source, "destination.test": l.destination, "elsewhere.test": elsewhere,
		})
		test(t, l)
	})
}

func (l *lab) copyAnywhere(t *testing.T) *run {
	t.Helper()
	return l.copyWith(t.Context(), Options{Source: "source.test/app:1", Destination: "destination.test/app:1",
		InsecureRegistries: []string{"source.test", "destination.test", "elsewhere.test"}})
}

const forEver = 1 << 20

// sent redirects what is asked for, with the method kept.
func sent(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }
}

// uploadSent answers an upload's request with where the next one is to go.
func uploadSent(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusAccepted)
	}
}

// tokenNeeded asks for a token of realm whoever brings none.
func tokenNeeded(realm string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/token") || r.Header.Get("Authorization") == "Bearer good" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

func TestMessagesDoNotQuoteOtherHosts(t *testing.T) {
	const errorsOf = `{"errors":[{"code":"DENIED","message":"` + secret + `"}],"password":"` + secret + `"}`
	served := func(as, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", as)
			_, _ = io.WriteString(w, body)
		}
	}
	const image = "application/vnd.oci.image.manifest.v1+json"
	greeting := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "SSH-2.0-"+secret+"\r\n")
			conn.Close()
		}
	}
	manifest, upload := method("GET", "/manifests/"), method("POST", "/uploads/")
	source := func(match func(*http.Request) bool, fault http.HandlerFunc) func(*lab) {
		return func(l *lab) { l.source.fault = times(forEver, match, fault) }
	}
	destination := func(match func(*http.Request) bool, fault http.HandlerFunc) func(*lab) {
		return func(l *lab) { l.destination.fault = times(forEver, match, fault) }
	}
	login := func(realm string) func(*lab) { return func(l *lab) { l.source.fault = tokenNeeded(realm) } }
	to := sent("http://elsewhere.test/admin")
	for _, test := range []struct {
		name      string
		elsewhere http.HandlerFunc
		fault     func(*lab)
		reason    pull.FailureReason
		words     []string
	}{
		{"manifest refused", answer(403, errorsOf), source(manifest, to), pull.Unauthorized,
			[]string{"The source registry source.test", "403 Forbidden from elsewhere.test"}},
		{"manifest not found", answer(404, secret), source(manifest, to), pull.NotFound, []string{"404", "elsewhere.test"}},
		{"manifest with another status", answer(206, secret), source(manifest, to), pull.Invalid, []string{"206", "elsewhere.test"}},
		{"manifest is text", served("text/plain", secret), source(manifest, to), pull.Invalid, []string{"is not JSON"}},
		{"manifest is text, served as an image", served(image, secret), source(manifest, to), pull.Invalid, []string{"is not JSON"}},
		{"manifest names a strange type", served("application/json", `{"mediaType":"`+secret+`"}`), source(manifest, to), pull.Invalid,
			[]string{`is served as "application/json"`}},
		{"manifest with a strange digest", served(image, `{"config":{"digest":"sha256:`+secret+`"}}`), source(manifest, to), pull.Invalid,
			[]string{"none that makes up an image"}},
		{"manifest with a strange number", served(image, `{"schemaVersion":"`+secret+`"}`), source(manifest, to), pull.Invalid,
			[]string{"none that makes up an image"}},
		{"manifest from what is no web server", greeting, source(manifest, to), pull.Network,
			[]string{"source registry", "the answer of elsewhere.test cannot be read"}},
		{"manifest from the other registry", answer(500, ""), func(l *lab) {
			l.source.fault = times(forEver, manifest, sent("http://destination.test/admin"))
			l.destination.fault = times(forEver, method("GET", "/admin"), answer(403, errorsOf))
		}, pull.Unauthorized, []string{"The source registry source.test", "403 Forbidden from destination.test"}},
		{"manifest from there and back", sent("http://source.test/admin"), func(l *lab) {
			l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
				return times(forEver, manifest, to)(w, r) || times(forEver, method("GET", "/admin"), answer(403, errorsOf))(w, r)
			}
		}, pull.Unauthorized, []string{"source registry", "403 Forbidden"}},
		{"blob", answer(403, errorsOf), source(isBlobGet, to), pull.Unauthorized, []string{"source registry", "403 Forbidden from elsewhere.test"}},
		{"token refused", answer(403, errorsOf), login("http://elsewhere.test/token"), pull.Unauthorized,
			[]string{"source registry", "403 Forbidden from elsewhere.test"}},
		{"no token", answer(200, `{"refresh_token":"`+secret+`"}`), login("http://elsewhere.test/token"), pull.Invalid,
			[]string{"source registry", "the token server elsewhere.test did not answer with a token"}},
		{"token is text", answer(200, secret), login("http://elsewhere.test/token"), pull.Invalid,
			[]string{"source registry", "the token server elsewhere.test did not answer with a token"}},
		{"no token where the registry's own token server redirects to", answer(200, "{}"+secret), func(l *lab) {
			l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
				return tokenNeeded("http://source.test/token")(w, r) || times(forEver, method("GET", "/token"), to)(w, r)
			}
		}, pull.Invalid, []string{"source registry", "the token server elsewhere.test did not answer with a token"}},
		{"upload refused", answer(403, errorsOf), destination(upload, to), pull.Unauthorized,
			[]string{"The destination registry destination.test", "403 Forbidden from elsewhere.test"}},
		{"upload with another status", answer(200, secret), destination(upload, to), pull.Invalid, []string{"destination registry", "200 OK from elsewhere.test"}},
		{"upload sent elsewhere", answer(403, errorsOf), destination(upload, uploadSent("http://elsewhere.test/up")), pull.Unauthorized,
			[]string{"destination registry", "403 Forbidden from elsewhere.test"}},
		{"upload sent elsewhere, with another status", answer(200, secret), destination(upload, uploadSent("http://elsewhere.test/up")), pull.Invalid,
			[]string{"destination registry", "200 OK from elsewhere.test"}},
		{"end of an upload sent elsewhere", answer(400, errorsOf), destination(method("PATCH", ""), uploadSent("http://elsewhere.test/up")), pull.Invalid,
			[]string{"destination registry", "400 Bad Request from elsewhere.test"}},
		{"manifest put", answer(400, errorsOf), destination(method("PUT", "/manifests/"), to), pull.Invalid,
			[]string{"destination registry", "400 Bad Request from elsewhere.test"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLabWith(t, test.elsewhere, func(t *testing.T, l *lab) {
				l.push("source.test/app:1", randomImage(t, 100, 1))
				test.fault(l)
				r := l.copyAnywhere(t)
				if r.code == pull.ExitDone || r.outcome.Reason != test.reason {
					t.Errorf("exit code %d, %+v; want the reason %s", r.code, r.outcome, test.reason)
				}
				for _, word := range test.words {
					if !strings.Contains(r.outcome.Message, word) {
						t.Errorf("message %q does not contain %q", r.outcome.Message, word)
					}
				}
				if r.said(secret) || strings.Contains(r.outcome.Message, secret) {
					t.Errorf("the other host is quoted: %q", r.outcome.Message)
				}
			})
		})
	}
}

// The registry's own words help people to find out what to do.
func TestMessagesQuoteTheRegistry(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.source.fault = times(forEver, method("GET", "/manifests/"), answer(403, "ask the team of the registry"))
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitPermanent, pull.Unauthorized, "403 Forbidden: ask the team of the registry")
		if strings.Contains(r.outcome.Message, " from ") {
			t.Errorf("message %q", r.outcome.Message)
		}
	})
}

func TestTokensManifestsAndBlobsMayComeFromOtherHosts(t *testing.T) {
	var l *lab
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_, _ = io.WriteString(w, `{"token":"good"}`)
			return
		}
		l.source.handler.ServeHTTP(w, r)
	}
	inLabWith(t, elsewhere, func(t *testing.T, made *lab) {
		l = made
		digest := l.push("source.test/app:1", randomImage(t, 300_000, 2))
		l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if tokenNeeded("http://elsewhere.test/token")(w, r) {
				return true
			}
			if r.URL.Path == "/v2/" {
				return false
			}
			sent("http://elsewhere.test"+r.URL.Path)(w, r)
			return true
		}
		l.copyAnywhere(t).succeeded(t, digest)
	})
}
