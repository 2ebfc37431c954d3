package mirror

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// The registry library refuses every private address that a registry sends it to, by a rule of its own which knows
// nothing of --allow-private-host nor of where the registry is. So it gets to see a name instead, and reach decides
// when the request for that name comes.

// aliasSuffix is below a top-level domain that never exists.
const aliasSuffix = ".address.invalid"

// alias returns a URL's host with a name in the place of an address.
func alias(host string) string {
	hostname, port := (&url.URL{Host: host}).Hostname(), (&url.URL{Host: host}).Port()
	if addr, ok := literal(hostname); !ok || (addr.IsValid() && zoneOf(addr) == publicZone) {
		return host
	}
	hostname, _, _ = strings.Cut(hostname, "%")
	name := strings.ReplaceAll(hostname, ":", "-") + aliasSuffix
	if port != "" {
		name += ":" + port
	}
	return name
}

// unalias undoes alias.
func unalias(host string) string {
	hostname, port := (&url.URL{Host: host}).Hostname(), (&url.URL{Host: host}).Port()
	hostname, ok := strings.CutSuffix(hostname, aliasSuffix)
	if !ok {
		return host
	}
	hostname = strings.ReplaceAll(hostname, "-", ":")
	switch {
	case port != "":
		return net.JoinHostPort(hostname, port)
	case strings.Contains(hostname, ":"):
		return "[" + hostname + "]"
	}
	return hostname
}

// realm is how the realm of a challenge begins: its scheme and its host.
var realm = regexp.MustCompile(`(?i)(\brealm="?)(https?)://([^/?#",\s]+)`)

var (
	parameter = regexp.MustCompile(`^([\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+)`)
	word      = regexp.MustCompile(`^[^\s,]+`)
)

// separate returns challenges one by one, with all parameters in quotes, and those that name a token server first. The
// registry library understands no others, and takes the first.
func separate(headers []string) []string {
	var challenges []string
	for _, header := range headers {
		scheme := ""
		var parameters []string
		end := func() {
			if scheme != "" {
				challenges = append(challenges, strings.TrimSpace(scheme+" "+strings.Join(parameters, ",")))
			}
		}
		next := func(s string) string {
			return strings.TrimLeftFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
		}
		for rest := next(header); rest != ""; rest = next(rest) {
			if p := parameter.FindStringSubmatch(rest); p != nil && scheme != "" {
				if !strings.HasPrefix(p[2], `"`) {
					p[2] = `"` + p[2] + `"`
				}
				parameters = append(parameters, p[1]+"="+p[2])
				rest = rest[len(p[0]):]
				continue
			}
			end()
			scheme, parameters = word.FindString(rest), nil
			rest = rest[len(scheme):]
		}
		end()
	}
	slices.SortStableFunc(challenges, func(a, b string) int {
		switch aBearer, bBearer := bearer.MatchString(a), bearer.MatchString(b); {
		case aBearer == bBearer:
			return 0
		case aBearer:
			return -1
		}
		return 1
	})
	return challenges
}

// disguise puts aliases where an answer sends the copier elsewhere. A realm at the registry itself is asked over TLS
// where the registry was: proxies in front of registries often make them say http.
func (g *guard) disguise(resp *http.Response) {
	if location, err := url.Parse(resp.Header.Get("Location")); err == nil && !strings.EqualFold(location.Host, g.registry) {
		if host := alias(location.Host); host != location.Host {
			location.Host = host
			resp.Header.Set("Location", location.String())
		}
	}
	if headers, ok := resp.Header["Www-Authenticate"]; ok {
		resp.Header["Www-Authenticate"] = separate(headers)
	}
	for i, challenge := range resp.Header["Www-Authenticate"] {
		resp.Header["Www-Authenticate"][i] = realm.ReplaceAllStringFunc(challenge, func(beginning string) string {
			parts := realm.FindStringSubmatch(beginning)
			scheme, host := parts[2], parts[3]
			if !strings.EqualFold(host, g.registry) {
				host = alias(host)
			} else if resp.Request.URL.Scheme == "https" {
				scheme = "https"
			}
			return parts[1] + scheme + "://" + host
		})
	}
}
