package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// The registry's token server knows what each user may do in which project. Every login gets the token of its own project and no
// other. A pull from the registry into itself works although no user may both read the source and write the destination.
func TestEachLoginGetsItsOwnProjectsToken(t *testing.T) {
	const password = "open sesame"
	server := newTokenServer(t, password, map[string]map[string]string{
		"reader": {"team-a": "pull"},
		"robot":  {"mirror": "pull,push"},
	})
	data := t.TempDir()
	registry, behind := newDistributionOn(t, data, server.access(t)), newDistributionOn(t, data, "")
	digest := push(t, behind.host+"/team-a/app:1", randomImage(t, 1_000_000, 2), authn.Anonymous)
	image := registry.host + "/team-a/app:1"
	namespace := newNamespace(t)
	createLogins(t, namespace, "logins", map[string]login{
		registry.host + "/team-a": {"reader", password}, registry.host + "/team-b": {"reader", password},
		registry.host + "/mirror": {"robot", password}, registry.host + "/team-c": {"robot", "wrong"},
	})
	s := startServer(t, namespace, append(insecure(registry.host, server.host),
		"--registry-secret=logins", "--destination="+registry.host+"/mirror")...)

	checkSucceeded(t, s.outcome(t, s.startOne(t, image).ID), digest)
	if got := describe(t, behind.host+"/mirror/team-a/app:1").Digest.String(); got != digest {
		t.Errorf("the copy is %s, want %s", got, digest)
	}
	granted, refused := server.answers()
	if want := []string{"reader team-a pull", "robot mirror pull", "robot mirror push"}; !slices.Equal(granted, want) {
		t.Errorf("granted was %q, want %q", granted, want)
	}
	if !slices.Contains(refused, "robot team-a pull") {
		t.Errorf("no mount was tried that the destination's login may not do: refused was %q", refused)
	}

	for _, test := range []struct {
		name, image, destination string
		words                    []string
	}{
		{"a source that the login may not read", registry.host + "/team-b/app:1", registry.host + "/mirror",
			[]string{"source registry " + registry.host, registry.host + "/team-b"}},
		{"a destination that the login may not write", image, registry.host + "/team-a/copies",
			[]string{"destination registry " + registry.host, registry.host + "/team-a"}},
		{"a login that the token server refuses", registry.host + "/team-c/app:1", registry.host + "/mirror",
			[]string{"source registry " + registry.host, registry.host + "/team-c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			failed := s.outcome(t, s.startTo(t, test.destination, test.image).ID)
			checkFailure(t, failed, "UNAUTHORIZED", test.words...)
			if failed.Attempts != 1 {
				t.Errorf("what is forbidden was tried %d times", failed.Attempts)
			}
		})
	}
}

// tokenServer signs what users may do in a registry, as the token specification of the distribution project has it.
type tokenServer struct {
	host        string
	password    string
	rights      map[string]map[string]string
	key         *ecdsa.PrivateKey
	certificate []byte

	mu               sync.Mutex
	granted, refused map[string]bool
}

const tokenService, tokenIssuer = "e2e registry", "e2e issuer"

// newTokenServer starts a token server for users that have one password. rights are the actions of each user by project,
// which is the first part of a repository's name. It ends with the test.
func newTokenServer(t *testing.T, password string, rights map[string]map[string]string) *tokenServer {
	t.Helper()
	s := &tokenServer{password: password, rights: rights, granted: map[string]bool{}, refused: map[string]bool{}}
	s.key, s.certificate = newAuthority(t, env.host)
	s.host = serve(t, s)
	return s
}

// access is the part of a registry's configuration that has it believe the server's tokens.
func (s *tokenServer) access(t *testing.T) string {
	t.Helper()
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	writeFile(t, bundle, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate})))
	return fmt.Sprintf("auth: {token: {realm: %q, service: %q, issuer: %q, rootcertbundle: %s}}\n",
		"http://"+s.host+"/token", tokenService, tokenIssuer, bundle)
}

// answers returns what was granted and what was refused so far, as "user project action", sorted.
func (s *tokenServer) answers() (granted, refused []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.granted)), slices.Sorted(maps.Keys(s.refused))
}

// tokenAccess is what a token lets its bearer do with one repository.
type tokenAccess struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// ServeHTTP answers with a token for whatever the user may do of what was asked for.
func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, has := r.BasicAuth()
	if has && (s.rights[user] == nil || password != s.password) {
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no such user"}]}`, http.StatusUnauthorized)
		return
	}
	access := []tokenAccess{}
	for _, scope := range strings.Fields(strings.Join(r.URL.Query()["scope"], " ")) {
		kind, rest, _ := strings.Cut(scope, ":")
		name, actions, _ := strings.Cut(rest, ":")
		access = append(access, tokenAccess{kind, name, s.grant(user, name, strings.Split(actions, ","))})
	}
	token, err := s.sign(user, access)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}

func (s *tokenServer) grant(user, repository string, actions []string) []string {
	project, _, _ := strings.Cut(repository, "/")
	allowed := strings.Split(s.rights[user][project], ",")
	s.mu.Lock()
	defer s.mu.Unlock()
	granted := []string{}
	for _, action := range actions {
		entry := strings.TrimSpace(user + " " + project + " " + action)
		if slices.Contains(allowed, action) {
			granted = append(granted, action)
			s.granted[entry] = true
		} else {
			s.refused[entry] = true
		}
	}
	return granted
}

// sign returns a JSON Web Token that brings the certificate of its key along.
func (s *tokenServer) sign(user string, access []tokenAccess) (string, error) {
	now := time.Now()
	header, err := json.Marshal(map[string]any{
		"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.certificate)},
	})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": tokenIssuer, "aud": tokenService, "sub": user, "jti": rand.Text(), "access": access,
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(signed))
	first, second, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	signature := make([]byte, 64)
	first.FillBytes(signature[:32])
	second.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
