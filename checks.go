package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"pullwatch/internal/pull"
)

// Validate returns all errors of the flags. kong calls it when it has read them.
func (s *serveSettings) Validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	_, port, err := net.SplitHostPort(s.Listen)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	refuse(err != nil, "--listen=%s: expected HOST:PORT", s.Listen)
	refuse(err == nil && !s.loopback() && !s.AuthNoneAnyway,
		"--listen=%s: everybody who reaches this address could start and cancel pulls and read logs; listen on 127.0.0.1 behind something that asks who they are, or give --auth-none-anyway", s.Listen)
	refuse((s.TLSCert == "") != (s.TLSKey == ""), "--tls-cert and --tls-key go together")
	if s.TLSCert != "" && s.TLSKey != "" {
		_, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		refuse(err != nil, "--tls-cert=%s, --tls-key=%s: expected a certificate chain and its private key in PEM: %v", s.TLSCert, s.TLSKey, err)
	}
	if _, err := s.trustedDocuments(slog.New(slog.DiscardHandler)); err != nil {
		errs = append(errs, err)
	}
	refuse(s.OnlyTrusted && len(s.TrustedDocuments) == 0, "--only-trusted: name the documents that are trusted with --trusted-documents")
	refuse(s.DrainTimeout < 0 || s.DrainTimeout > 20*time.Second, "--drain-timeout=%s: must be 0s to 20s", s.DrainTimeout)
	for _, origin := range s.AllowedOrigin {
		refuse(!isOrigin(origin), "--allowed-origin=%s: expected an origin as browsers write it, such as https://dash.example or http://localhost:3000", origin)
	}
	s.validateLimits(refuse)
	refuse(s.Demo && s.Kubeconfig != "", "--demo and --kubeconfig exclude each other")
	refuse(!s.Demo && s.CopierImage == "", "--copier-image: give the image that holds this program, which pulls run; or try it with --demo")
	if s.CopierImage != "" {
		_, err := pull.ParseImage(s.CopierImage)
		refuse(err != nil, "--copier-image=%s: %v", s.CopierImage, err)
	}
	s.validateNames(refuse)
	refuse(s.DemoPulls < 1 || s.DemoPulls > 100_000, "--demo-pulls=%d: must be 1 to 100000", s.DemoPulls)
	refuse(s.MaxParallel < 1, "--max-parallel=%d: must be at least 1", s.MaxParallel)
	refuse(s.MaxQueuedPulls < 1, "--max-queued-pulls=%d: must be at least 1", s.MaxQueuedPulls)
	refuse(s.Demo && s.DemoPulls > s.MaxParallel+s.MaxQueuedPulls,
		"--demo-pulls=%d: --max-parallel=%d and --max-queued-pulls=%d allow fewer", s.DemoPulls, s.MaxParallel, s.MaxQueuedPulls)
	for flag, hosts := range map[string][]string{"--insecure-registry": s.InsecureRegistry, "--allow-private-host": s.AllowPrivateHost} {
		errs = append(errs, checkHosts(flag, hosts))
	}
	refuse(s.PullDeadline < time.Second, "--pull-deadline=%s: must be at least 1s", s.PullDeadline)
	refuse(s.HistoryTTL < 0 || s.HistoryTTL > 10*365*24*time.Hour, "--history-ttl=%s: must be 0s to ten years", s.HistoryTTL)
	if _, err := s.destination(); err != nil {
		errs = append(errs, fmt.Errorf("--destination: %w", err))
	}
	if _, err := s.redis(); err != nil {
		errs = append(errs, fmt.Errorf("--redis-url: %w", err))
	}
	for flag, value := range map[string]string{"--redis-prefix": s.RedisPrefix, "--cluster-name": s.ClusterName} {
		refuse(!keyForm.MatchString(value), "%s=%s: must be at most 200 printable characters of ASCII, but neither braces nor spaces", flag, value)
	}
	refuse(s.RedisPrefix == "", "--redis-prefix: must not be empty")
	return errors.Join(errs...)
}

// keyForm matches what may be part of the name of a key in Redis. Braces have a meaning for a Redis Cluster.
var keyForm = regexp.MustCompile(`^[!-z|~]{0,200}$`)

// validateNames checks the names of Kubernetes' objects.
func (s *serveSettings) validateNames(refuse func(bad bool, format string, args ...any)) {
	for _, c := range []struct {
		flag, value string
		check       func(string) []string
	}{
		{"--namespace", s.Namespace, validation.IsDNS1123Label},
		{"--registry-secret", s.RegistrySecret, validation.IsDNS1123Subdomain},
		{"--registry-ca", s.RegistryCA, validation.IsDNS1123Subdomain},
	} {
		if c.value != "" {
			reasons := c.check(c.value)
			refuse(len(reasons) > 0, "%s=%s: is no name of Kubernetes: %s", c.flag, c.value, strings.Join(reasons, "; "))
		}
	}
}

func (s *serveSettings) validateLimits(refuse func(bad bool, format string, args ...any)) {
	for flag, value := range map[string]time.Duration{
		"--ping-interval": s.PingInterval, "--write-timeout": s.WriteTimeout, "--init-timeout": s.InitTimeout,
	} {
		refuse(value < 100*time.Millisecond || value > time.Hour, "%s=%s: must be 100ms to 1h", flag, value)
	}
	refuse(s.PongWait <= s.PingInterval || s.PongWait > 2*time.Hour,
		"--pong-wait=%s: must be longer than --ping-interval=%s, whose pongs it waits for, and at most 2h", s.PongWait, s.PingInterval)
	for flag, value := range map[string]int{
		"--max-connections": s.MaxConnections, "--max-subscriptions": s.MaxSubscriptions, "--max-operations": s.MaxOperations,
		"--max-log-streams": s.MaxLogStreams,
	} {
		refuse(value < 1, "%s=%d: must be at least 1", flag, value)
	}
	refuse(s.MaxAddressConnections < 0, "--max-address-connections=%d: must be at least 1, or 0 for --max-connections", s.MaxAddressConnections)
	refuse(s.MaxCallerLogStreams < 0, "--max-caller-log-streams=%d: must be at least 1, or 0 for any number", s.MaxCallerLogStreams)
	if _, err := s.memoryBudget(); err != nil {
		refuse(true, "--memory-budget=%s: %v", s.MemoryBudget, err)
	}
	refuse(s.MaxMessage < 1<<10 || s.MaxMessage > 16<<20, "--max-message=%d: must be 1024 to 16777216", s.MaxMessage)
}

// isOrigin reports whether text is an origin exactly as browsers send it.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && originForm.MatchString(text) && isPort(u.Port()) &&
		!(u.Scheme == "http" && u.Port() == "80") && !(u.Scheme == "https" && u.Port() == "443")
}

// originForm matches a scheme, a host and perhaps a port, but no other part of a URL.
var originForm = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?$`)

// loopback reports whether only this machine can connect to --listen.
func (s *serveSettings) loopback() bool {
	host, _, err := net.SplitHostPort(s.Listen)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || (ip != nil && ip.IsLoopback()))
}

// Validate returns all errors of the flags. kong calls it when it has read them.
func (m *mirrorSettings) Validate() error {
	_, err := pull.ParsePlatforms(m.Platform)
	return errors.Join(err, checkHosts("--insecure-registry", m.InsecureRegistry), checkHosts("--allow-private-host", m.AllowPrivateHost))
}

// checkHosts returns an error for each host that no request can have: the flag would have no effect.
func checkHosts(flag string, hosts []string) error {
	var errs []error
	for _, host := range hosts {
		if u, err := url.Parse("//" + host); err != nil || u.Host != host || u.Hostname() == "" || !isPort(u.Port()) {
			errs = append(errs, fmt.Errorf("%s=%s: expected HOST or HOST:PORT", flag, host))
		}
	}
	return errors.Join(errs...)
}

// isPort reports whether the digits in text, if there are any, are a port.
func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil
}
