package redisclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// parameters are those of a URL: the rest that has not been read yet, and the errors of those that have.
type parameters struct {
	rest url.Values
	errs []error
}

func parseParameters(query string) (*parameters, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("the parameters must be name=value, joined by & and percent-encoded")
	}
	p := &parameters{rest: values}
	for name, given := range values {
		if len(given) > 1 {
			p.errs = append(p.errs, fmt.Errorf("parameter %s is given %d times", name, len(given)))
		}
	}
	return p, nil
}

func (p *parameters) applyPool(o *redis.UniversalOptions) {
	o.PoolSize = p.integer("pool_size", 10, 1, 1000)
	o.MinIdleConns = p.integer("min_idle_conns", min(5, o.PoolSize), 0, o.PoolSize)
	if o.MaxRetries = p.integer("max_retries", 3, 0, 10); o.MaxRetries == 0 {
		o.MaxRetries = noRetries
	}
	o.ConnMaxLifetime = p.duration("conn_max_lifetime", time.Hour, 0)
	o.DialTimeout = p.duration("dial_timeout", 5*time.Second, time.Millisecond)
	o.ReadTimeout = p.duration("read_timeout", 3*time.Second, time.Millisecond)
	o.WriteTimeout = p.duration("write_timeout", 3*time.Second, time.Millisecond)
}

// applyTLS sets a dialer, because that of go-redis ignores the context during the TLS handshake.
func (p *parameters) applyTLS(o *redis.UniversalOptions) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         p.text("tls_server_name"),
		InsecureSkipVerify: p.boolean("skip_verify"),
	}
	if file := p.text("tls_ca"); file != "" {
		pem, err := os.ReadFile(file)
		config.RootCAs = x509.NewCertPool()
		if err == nil && !config.RootCAs.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s holds no certificate in PEM", file)
		}
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("parameter tls_ca: %w", err))
		}
	}
	o.Dialer = (&tls.Dialer{NetDialer: &net.Dialer{Timeout: o.DialTimeout}, Config: config}).DialContext
}

// text returns the value of a parameter; empty when it is not given.
func (p *parameters) text(name string) string {
	value := p.rest.Get(name)
	delete(p.rest, name)
	return value
}

func (p *parameters) integer(name string, normal, lowest, highest int) int {
	text := p.text(name)
	if text == "" {
		return normal
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < lowest || n > highest {
		p.errs = append(p.errs, fmt.Errorf("parameter %s=%s: must be %d to %d", name, text, lowest, highest))
	}
	return n
}

func (p *parameters) duration(name string, normal, shortest time.Duration) time.Duration {
	text := p.text(name)
	if text == "" {
		return normal
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < shortest {
		p.errs = append(p.errs, fmt.Errorf("parameter %s=%s: must be a duration like 500ms, at least %s",
			name, text, shortest))
	}
	return d
}

func (p *parameters) boolean(name string) bool {
	text := p.text(name)
	if text != "" && text != "true" && text != "false" {
		p.errs = append(p.errs, fmt.Errorf("parameter %s=%s: must be true or false", name, text))
	}
	return text == "true"
}

// finish returns all errors of the parameters. A parameter that was not read is one.
func (p *parameters) finish() error {
	for _, name := range slices.Sorted(maps.Keys(p.rest)) {
		p.errs = append(p.errs, fmt.Errorf("parameter %s is not known for such a URL; there are pool_size, min_idle_conns, "+
			"max_retries, conn_max_lifetime, dial_timeout, read_timeout and write_timeout, with Sentinel sentinel_username and "+
			"sentinel_password, with TLS tls_ca, tls_server_name and skip_verify", name))
	}
	return errors.Join(p.errs...)
}
