package mirror

import (
	"errors"
	"strings"

	"pullwatch/internal/pull"
)

// failure is why a copy failed, as clients see it.
type failure struct {
	reason pull.FailureReason
	// message is one sentence for people: which side failed and how, and what the registry said.
	message string
	// permanent is true if no later attempt, by another pod, will succeed.
	permanent bool
	// side is the end of the copy that is to blame; empty for neither.
	side pull.Side
	// again is true if another try within this attempt may help all the same. It is read only if permanent is set.
	again bool
}

func (f *failure) Error() string { return f.message }

// verdict is a failure whose message is not made yet.
type verdict struct {
	reason    pull.FailureReason
	permanent bool
	again     bool
	// says is the middle of the message, between the name of the registry and its own words.
	says string
}

// isA reports whether an error is an E, or wraps one.
func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// oneLine returns s on one line.
func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
}

// sentence returns s on one line and with a capital letter.
func sentence(s string) string {
	s = pull.Truncate(oneLine(s), pull.MaxFailureMessage)
	return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):]
}
