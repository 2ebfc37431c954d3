package mirror

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// login is what a Docker configuration has for a repository.
type login struct {
	// key names the entry, for people: its key under auths, or the program of the credential helper.
	key         string
	credentials authn.Authenticator
}

// findLogins returns the logins that the Docker configuration has for a repository, the best first, and whether it has
// some for other repositories of the same registry.
//
// Keys under auths mean what they mean in image pull secrets: a host, in which each label may be a glob, its port, and
// a path that the repository is below or at. A scheme is ignored, and so is the path /v1/ or /v2/. The longest path is
// the best. Unlike the kubelet, this package ends a path between components: a login for reg/team is not sent for
// reg/team-b.
//
// A credential helper of the registry goes before all of auths, and a store of all credentials behind it.
func findLogins(repository name.Repository) (logins []login, others bool, err error) {
	file, err := readDockerConfig()
	if err != nil {
		return nil, false, err
	}
	keys := helperKeys(repository)
	for _, key := range keys {
		if helper, ok := file.CredentialHelpers[key]; ok {
			if logins, err = fromStore(file, key, helper); len(logins) > 0 || err != nil {
				return logins, false, err
			}
		}
	}
	if logins, others = matchLogins(file.AuthConfigs, repository); len(logins) > 0 || file.CredentialsStore == "" {
		return logins, others, nil
	}
	for _, key := range keys {
		if logins, err = fromStore(file, key, file.CredentialsStore); len(logins) > 0 || err != nil {
			return logins, others, err
		}
	}
	return nil, others, nil
}

// helperKeys returns what credential helpers know a repository by, the most telling first.
func helperKeys(repository name.Repository) []string {
	if repository.RegistryStr() == name.DefaultRegistry {
		return []string{authn.DefaultAuthKey, name.DefaultRegistry, "docker.io"}
	}
	return []string{repository.Name(), repository.RegistryStr()}
}

func fromStore(file *configfile.ConfigFile, key, helper string) ([]login, error) {
	found, err := file.GetAuthConfig(key)
	if err != nil || isEmpty(found) {
		return nil, err
	}
	return []login{newLogin("docker-credential-"+helper, found)}, nil
}

// chooseLogin returns the first login with which try is not refused, as the kubelet does. Any other failure of try says nothing
// about a login, and the copy will meet it again. If all are refused, it returns the best one, for messages to name.
func chooseLogin(logins []login, try func(authn.Authenticator) error) login {
	if len(logins) == 0 {
		return login{credentials: authn.Anonymous}
	}
	if len(logins) > 1 {
		for _, l := range logins {
			if !isRefusal(try(l.credentials)) {
				return l
			}
		}
	}
	return logins[0]
}

// isRefusal reports whether a registry may answer so because of a login. Some answer "not found" instead of "forbidden".
func isRefusal(err error) bool {
	answer, ok := errors.AsType[*transport.Error](err)
	return ok && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}, answer.StatusCode)
}

func matchLogins(auths map[string]types.AuthConfig, repository name.Repository) (logins []login, others bool) {
	var matching []pattern
	for key, auth := range auths {
		p := parsePattern(key)
		switch {
		case isEmpty(auth) || !p.matchesHost(repository):
		case !p.matchesPath(repository):
			others = true
		default:
			matching = append(matching, p)
		}
	}
	slices.SortFunc(matching, pattern.compare)
	for _, p := range matching {
		logins = append(logins, newLogin(p.key, auths[p.key]))
	}
	return logins, others
}

func newLogin(key string, auth types.AuthConfig) login {
	return login{key, authn.FromConfig(authn.AuthConfig{
		Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
		IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
	})}
}

// isEmpty reports whether an entry has no credentials. Docker leaves such entries where a helper has them.
func isEmpty(auth types.AuthConfig) bool {
	return auth.Username == "" && auth.Password == "" && auth.Auth == "" && auth.IdentityToken == "" && auth.RegistryToken == ""
}

// pattern is a key under auths.
type pattern struct {
	key, host, port, path string
}

func parsePattern(key string) pattern {
	rest := strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, dir, _ := strings.Cut(rest, "/")
	if first, below, _ := strings.Cut(dir, "/"); first == "v1" || first == "v2" {
		dir = below
	}
	p := pattern{key: key, path: strings.Trim(dir, "/")}
	p.host, p.port = splitPort(host)
	switch p.host {
	case "docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		p.host = name.DefaultRegistry
	}
	return p
}

// splitPort returns a host and its port, which is empty unless one is given.
func splitPort(hostport string) (host, port string) {
	if host, port, err := net.SplitHostPort(hostport); err == nil {
		return strings.ToLower(host), port
	}
	return strings.ToLower(strings.Trim(hostport, "[]")), ""
}

// matchesHost compares label by label: no glob spans a dot.
func (p pattern) matchesHost(repository name.Repository) bool {
	host, port := splitPort(repository.RegistryStr())
	globs, labels := strings.Split(p.host, "."), strings.Split(host, ".")
	if p.port != port || len(globs) != len(labels) {
		return false
	}
	for i, glob := range globs {
		if matched, err := path.Match(glob, labels[i]); err != nil || !matched {
			return false
		}
	}
	return true
}

func (p pattern) matchesPath(repository name.Repository) bool {
	below, found := strings.CutPrefix(repository.RepositoryStr(), p.path)
	return p.path == "" || (found && (below == "" || below[0] == '/'))
}

// compare orders by how much a pattern says: its path first, then whether its host is one without globs.
func (p pattern) compare(q pattern) int {
	globs := func(p pattern) int {
		return strings.Count(p.host, "*") + strings.Count(p.host, "?") + strings.Count(p.host, "[")
	}
	return cmp.Or(len(q.path)-len(p.path), globs(p)-globs(q), len(q.host)-len(p.host), cmp.Compare(p.key, q.key))
}

// readDockerConfig reads what Docker would: config.json of DOCKER_CONFIG or of the home directory. Where there is none,
// it reads what Podman would.
func readDockerConfig() (*configfile.ConfigFile, error) {
	dir := os.Getenv("DOCKER_CONFIG")
	home, _ := os.UserHomeDir()
	if dir == "" {
		dir = filepath.Join(home, ".docker")
	}
	if !isFile(filepath.Join(dir, config.ConfigFileName)) {
		for _, podman := range []string{
			os.Getenv("REGISTRY_AUTH_FILE"),
			below(os.Getenv("XDG_RUNTIME_DIR"), "containers/auth.json"),
			below(cmp.Or(os.Getenv("XDG_CONFIG_HOME"), below(home, ".config")), "containers/auth.json"),
		} {
			if isFile(podman) {
				return readPodmanConfig(podman)
			}
		}
	}
	return config.Load(dir)
}

func readPodmanConfig(file string) (*configfile.ConfigFile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return config.LoadFromReader(f)
}

// below returns a file of a directory, or nothing when there is no directory.
func below(dir, file string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, file)
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}
