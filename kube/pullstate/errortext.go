package pullstate

import (
	"regexp"
	"strings"

	"pullwatch/internal/pull"
)

// textReasons are phrases of kubelets and container runtimes that say what has run out. Kubernetes hands these errors on as text only.
// None can be a name by itself: pull.WithoutNames is for names of several words.
var textReasons = []struct {
	reason pull.FailureReason
	says   *regexp.Regexp
}{
	{pull.DiskFull, anyOf(`no space left on device`, `disk quota exceeded`, `low on resource: ephemeral-storage`, `ephemeral (?:local )?storage`,
		`condition: \[?diskpressure`, `insufficient ephemeral-storage`)},
	{pull.OutOfMemory, anyOf(`low on resource: memory`, `condition: \[?memorypressure`, `oomkilled`, `cannot allocate memory`)},
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
