package pull

import (
	"strings"
	"testing"

	"pullwatch/internal/usererr"
)

func TestTheReasonForAPauseIsOneLineOfText(t *testing.T) {
	longest := strings.Repeat("ä", MaxPauseReason)
	for given, want := range map[string]string{
		"The registry is being moved.": "The registry is being moved.", "  spaces around \t": "spaces around", longest: longest, "wartung 👩‍🔧": "wartung 👩‍🔧",
	} {
		if got, err := ParsePauseReason(given); err != nil || got != want {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
	for name, given := range map[string]string{
		"empty": "", "spaces only": " \n ", "too long": longest + "ä", "two lines": "a\nb", "an escape sequence": "\x1b[31mred", "a zero byte": "a\x00b",
		"a line separator": "a\u2028b", "text that runs backwards": "a\u202eb", "bytes that are no text": "a\xffb",
	} {
		if got, err := ParsePauseReason(given); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
