package redisclient

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"pullwatch/internal/pull"
)

// Forms says, for people, which URLs Parse accepts.
const Forms = "redis://[user:password@]host:port[/database], " +
	"redis+sentinel://[user:password@]host:port[,host:port…]/master[/database] or " +
	"redis+cluster://[user:password@]host:port[,host:port…]; with TLS rediss://, rediss+sentinel:// or rediss+cluster://"

// Keys returns the prefix of all keys that the replicas for one cluster use. Because of the braces, a Redis Cluster keeps these
// keys together. The version keeps replicas from reading values of another form.
func Keys(prefix, cluster string) string {
	return fmt.Sprintf("%s:{%s}:v%d:", prefix, cluster, pull.BinaryVersion)
}

// Settings are how to reach Redis. Parse makes them.
type Settings struct {
	options redis.UniversalOptions
	shown   string // what String returns
}

// String returns the URL without user, password and parameters.
func (s *Settings) String() string { return s.shown }

// Parse reads a URL of one of the Forms, and the files that it names. It does not connect. Its errors say what is accepted, and
// never hold a password.
//
// The URL may have these parameters: pool_size (10 unless given), min_idle_conns (5, or pool_size if that is less),
// max_retries (3), conn_max_lifetime (1h; 0 for no end), dial_timeout (5s), read_timeout (3s), write_timeout (3s); with
// Sentinel sentinel_username and sentinel_password; with TLS tls_ca (a PEM file, instead of the system's authorities),
// tls_server_name and skip_verify (true or false).
func Parse(rawURL string) (*Settings, error) {
	u, addresses, err := split(rawURL)
	if err != nil {
		return nil, err
	}
	family, mode, _ := strings.Cut(u.Scheme, "+")
	if (family != "redis" && family != "rediss") || (u.Scheme != family && mode != "sentinel" && mode != "cluster") {
		return nil, fmt.Errorf("%s:// is not a scheme for Redis; expected %s", u.Scheme, Forms)
	}
	s := &Settings{shown: u.Scheme + "://" + strings.Join(addresses, ",") + u.Path}
	o := &s.options
	o.Addrs = addresses
	o.IsClusterMode = mode == "cluster"
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	p, err := parseParameters(u.RawQuery)
	if err != nil {
		return nil, err
	}
	p.applyPool(o)
	if mode == "sentinel" {
		o.SentinelUsername, o.SentinelPassword = p.text("sentinel_username"), p.text("sentinel_password")
	}
	if family == "rediss" {
		p.applyTLS(o)
	}
	if err := errors.Join(applyPath(o, mode, u.Path), p.finish()); err != nil {
		return nil, err
	}
	return s, nil
}

// split takes the URL apart. net/url accepts one host only, so split reads the hosts itself. Errors of net/url may hold the
// password, or a part of it behind a character that should have been encoded. So they are not repeated.
func split(rawURL string) (u *url.URL, addresses []string, err error) {
	scheme, rest, found := strings.Cut(rawURL, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, rest := rest[:end], rest[end:]
	if strings.Contains(rest, "@") {
		return nil, nil, errors.New("in user, password and parameters write / as %2F, ? as %3F, # as %23 and @ as %40")
	}
	at := strings.LastIndex(authority, "@") + 1
	user, hosts := authority[:at], strings.Split(authority[at:], ",")
	if u, err = url.Parse(scheme + "://" + user + "host" + rest); err != nil || !found || u.Fragment != "" {
		return nil, nil, fmt.Errorf("not a URL; expected %s; percent-encode what is special in user and password", Forms)
	}
	if password, _ := u.User.Password(); u.User != nil && password == "" {
		return nil, nil, errors.New("a user without a password; expected user:password@, or :password@ for the default user")
	}
	port := "6379"
	if strings.HasSuffix(u.Scheme, "+sentinel") {
		port = "26379"
	}
	for _, host := range hosts {
		address, err := addressOf(host, port)
		if err != nil {
			return nil, nil, err
		}
		addresses = append(addresses, address)
	}
	if len(addresses) > 1 && !strings.Contains(u.Scheme, "+") {
		return nil, nil, errors.New("several hosts are for redis+sentinel:// and redis+cluster://")
	}
	return u, addresses, nil
}

// addressOf returns the host:port to dial.
func addressOf(host, defaultPort string) (string, error) {
	u, err := url.Parse("//" + host)
	if err != nil || u.Hostname() == "" || u.Host != host {
		return "", fmt.Errorf("%q is not host:port", host)
	}
	port := defaultPort
	if u.Port() != "" {
		port = u.Port()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: the port must be 1 to 65535", host)
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// applyPath sets the master and the database that the URL's path names.
func applyPath(o *redis.UniversalOptions, mode, path string) error {
	path = strings.Trim(path, "/")
	switch mode {
	case "cluster":
		if path != "" {
			return fmt.Errorf("/%s: a cluster has only one database, which needs no number", path)
		}
		return nil
	case "sentinel":
		o.MasterName, path, _ = strings.Cut(path, "/")
		if o.MasterName == "" {
			return errors.New("the name of the master is missing; expected redis+sentinel://host:port/master[/database]")
		}
	}
	if path == "" {
		return nil
	}
	database, err := strconv.ParseUint(path, 10, 16)
	o.DB = int(database)
	if err != nil {
		return fmt.Errorf("/%s: the database must be a number", path)
	}
	return nil
}
