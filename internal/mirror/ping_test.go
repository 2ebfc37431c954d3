package mirror

import (
	"io"
	"net/http"
	"testing"

	"pullwatch/internal/pull"
)

// oddPings are answers to the first question, GET /v2/, that registries should not give, and proxies do.
var oddPings = map[string]http.HandlerFunc{
	"not found":      answer(404, "<html><body><h1>404</h1></body></html>"),
	"not allowed":    answer(405, ""),
	"forbidden":      answer(403, `{"errors":[{"code":"DENIED","message":"no"}]}`),
	"bad request":    answer(400, ""),
	"failure":        answer(500, ""),
	"not available":  answer(503, ""),
	"no content":     answer(204, ""),
	"page":           answer(200, "<html>hello</html>"),
	"rate limit":     answer(429, ""),
	"login page":     sent("/login"),
	"itself":         sent("/v2/"),
	"unknown host":   sent("http://nowhere.test/v2/"),
	"refused host":   sent("http://169.254.169.254/v2/"),
	"plain HTTP":     sent("http://plain.test/v2/"),
	"no location":    answer(302, ""),
	"no challenge":   answer(401, ""),
	"unknown scheme": asking(`Negotiate`),
}

func asking(header string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", header)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func isPing(r *http.Request) bool { return r.URL.Path == "/v2/" }

// An image that the registry gives and takes is copied, whatever the registry answers to GET /v2/.
func TestImagesAreCopiedWhateverAnswersThePing(t *testing.T) {
	for name, odd := range oddPings {
		for _, login := range []struct {
			name string
			// fault asks for what the registry does not tell in its first answer.
			fault func(host string) func(http.ResponseWriter, *http.Request) bool
		}{
			{"open", func(string) func(http.ResponseWriter, *http.Request) bool {
				return func(http.ResponseWriter, *http.Request) bool { return false }
			}},
			{"with tokens", func(host string) func(http.ResponseWriter, *http.Request) bool {
				refuse := tokenNeeded("http://" + host + "/token")
				return func(w http.ResponseWriter, r *http.Request) bool {
					if user, password, _ := r.BasicAuth(); r.URL.Path == "/token" && user == "robot" && password == "secret" {
						_, _ = io.WriteString(w, `{"token":"good"}`)
						return true
					}
					return refuse(w, r)
				}
			}},
			{"with passwords", func(string) func(http.ResponseWriter, *http.Request) bool { return asksFor("robot", "secret") }},
		} {
			t.Run(name+"/"+login.name, func(t *testing.T) {
				inLab(t, func(t *testing.T, l *lab) {
					digest := l.push("source.test/app:1", randomImage(t, 3000, 3))
					logIn(t, map[string]string{"source.test": "robot:secret", "destination.test": "robot:secret"})
					for host, registry := range map[string]*testRegistry{"source.test": l.source, "destination.test": l.destination} {
						fault := login.fault(host)
						registry.fault = func(w http.ResponseWriter, r *http.Request) bool {
							switch {
							case isPing(r):
								odd(w, r)
							case r.URL.Path == "/login":
								answer(200, "please log in")(w, r)
							default:
								return fault(w, r)
							}
							return true
						}
					}
					r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
					r.succeeded(t, digest)
					if r.said("Retrying") {
						t.Errorf("it was found out by a failure: %+v", r.events)
					}
				})
			})
		}
	}
}

// Of several logins, the one that the registry accepts is found even if it does not answer the ping.
func TestTheLoginIsChosenWithoutThePing(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/team/app:1", randomImage(t, 3000, 1))
		logIn(t, map[string]string{
			"source.test/team": "old:wrong", "source.test": "robot:secret",
			"destination.test/team": "old:wrong", "destination.test": "robot:secret"})
		for _, registry := range []*testRegistry{l.source, l.destination} {
			known := asksFor("robot", "secret")
			registry.fault = func(w http.ResponseWriter, r *http.Request) bool {
				return times(forEver, isPing, answer(404, ""))(w, r) || known(w, r)
			}
		}
		l.copy(t.Context(), "source.test/team/app:1", "destination.test/team/app:1").succeeded(t, digest)
	})
}

// A token that is refused is asked for once again and not for ever, and the message says who refused.
func TestARefusalWithoutThePingEndsTheCopy(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/app:1", randomImage(t, 3000, 1))
		refuse := tokenNeeded("http://source.test/token")
		l.source.fault = func(w http.ResponseWriter, r *http.Request) bool {
			return times(forEver, isPing, answer(404, ""))(w, r) ||
				times(forEver, method("GET", "/token"), answer(200, `{"token":"bad"}`))(w, r) || refuse(w, r)
		}
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").
			failed(t, pull.ExitPermanent, pull.Unauthorized, "source registry source.test does not give source.test/app:1", "401")
		if n := l.source.count("GET", "/token"); n > 2 {
			t.Errorf("the token server was asked %d times", n)
		}
	})
}
