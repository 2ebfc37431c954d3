package pullstate

import (
	"regexp"
	"strings"

	"pullwatch/internal/pull"
)

// textReasons are phrases of kubelets, container runtimes and registries. Kubernetes hands these errors on as text only. A message
// often holds several phrases: the more telling ones come first. None can be a name by itself: pull.WithoutNames is for names
// of several words.
var textReasons = []struct {
	reason pull.FailureReason
	says   *regexp.Regexp
}{
	{pull.Invalid, anyOf(`signaturevalidationfailed:`, `invalid reference format`)},
	{pull.RateLimited, anyOf(`toomanyrequests:`, `429 too many requests`, `rate limit`)},
	{pull.DiskFull, anyOf(`no space left on device`, `disk quota exceeded`, `low on resource: ephemeral-storage`, `ephemeral (?:local )?storage`,
		`condition: \[?diskpressure`, `insufficient ephemeral-storage`)},
	{pull.TLS, anyOf(`x509:`, `tls:`, `failed to verify certificate`, `certificate (?:signed by|has expired|is valid for|is not)`,
		`http response to https`)},
	{pull.NoPlatform, anyOf(`no match for platform`, `no matching manifest`, `exec format error`)},
	{pull.Unauthorized, anyOf(`401 unauthorized`, `unauthorized:`, `: unauthorized`, `authorization failed`, `access denied`, `403 forbidden`,
		`: forbidden`, `no basic auth`, `authentication required`)},
	{pull.NotFound, anyOf(`not found`, `manifest unknown`, `name unknown`)},
	{pull.Network, anyOf(`registryunavailable:`, `dial tcp`, `no such host`, `i/o timeout`, `connection refused`, `connection reset`,
		`network is unreachable`, `no route to host`, `deadline exceeded`, `exceeded while awaiting headers`, `unexpected eof`, `: eof`,
		`bad gateway`, `service unavailable`, `internal server error`)},
}

func anyOf(phrases ...string) *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[^\pL\pN])(?:` + strings.Join(phrases, "|") + `)`)
}

// classifyText finds the reason in a text written for people. It returns otherwise when it finds none.
func classifyText(text string, otherwise pull.FailureReason) pull.FailureReason {
	text = pull.WithoutNames(text)
	for _, t := range textReasons {
		if t.says.MatchString(text) {
			return t.reason
		}
	}
	return otherwise
}
