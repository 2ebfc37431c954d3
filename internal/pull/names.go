package pull

import (
	"regexp"
	"strings"
)

// names matches names that people choose, as registries and kubelets write them: in quotes, as a URL, or as several words joined
// like the parts of a reference or of a host's name.
var names = regexp.MustCompile("[\"'`\\\\]+[^\\s\"'`\\\\]+[\"'`\\\\]+" +
	`|[a-z][a-z0-9+.-]*://\S+` +
	`|[a-z0-9]+(?:[-_./:@%]+[a-z0-9]+)+`)

// terms look like names but are not.
var terms = map[string]bool{
	"i/o": true, "ephemeral-storage": true, "client.timeout": true, "read-only": true,
}

// WithoutNames returns a text in lower case and without the names in it. Whoever searches it for words of an error does not find
// them in the name of an image, a project or a host.
func WithoutNames(text string) string {
	return names.ReplaceAllStringFunc(strings.ToLower(text), func(name string) string {
		if terms[name] {
			return name
		}
		return "…"
	})
}
