package pull

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pullwatch/internal/usererr"
)

// Queue says whether the pulls that wait in the queue start.
type Queue struct {
	// Paused is true while none does, since somebody wants it so.
	Paused bool
	// Reason is why, in the words of whoever paused the queue, and Since is when that was. Both are nil while it is not paused.
	Reason *string
	Since  *time.Time
}

// MaxPauseReason is how many characters the reason for a pause may have.
const MaxPauseReason = 500

// ParsePauseReason returns the reason for a pause without spaces around it. Everybody reads it in the messages of queued pulls, so
// it is text of one line. An error is a usererr.BadInput.
func ParsePauseReason(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", usererr.New(usererr.BadInput, "reason is empty; say why the queue is paused, as everybody who waits reads it")
	}
	if n := utf8.RuneCountInString(text); n > MaxPauseReason {
		return "", usererr.New(usererr.BadInput, "reason has %d characters; give at most %d", n, MaxPauseReason)
	}
	for _, c := range text {
		if c == utf8.RuneError || unicode.IsControl(c) || unicode.In(c, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return "", usererr.New(usererr.BadInput, "reason holds the character %U, which does not belong into a line of text", c)
		}
	}
	return text, nil
}
