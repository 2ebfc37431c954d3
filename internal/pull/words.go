package pull

import (
	"regexp"
	"strings"
)

// names are what people choose, as registries and kubelets write it: in quotes, as a URL, or as several words that are
// joined by what joins the parts of a reference or of a host's name.
var names = regexp.MustCompile("[\"'`\\\\]+[^\\s\"'`\\\\]+[\"'`\\\\]+" +
	`|[a-z][a-z0-9+.-]*://\S+` +
	`|[a-z0-9]+(?:[-_./:@%]+[a-z0-9]+)+`)

// terms are of the same form, but nobody's choice.
var terms = map[string]bool{
	"i/o": true, "ephemeral-storage": true, "client.timeout": true, "read-only": true,
}

// WithoutNames returns a text in lower case and without the names in it, so that what is looked for in what it says is
// not found in what somebody has called an image, a project or a host.
func WithoutNames(text string) string {
	return names.ReplaceAllStringFunc(strings.ToLower(text), func(name string) string {
		if terms[name] {
			return name
		}
		return "…"
	})
}
