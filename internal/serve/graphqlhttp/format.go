package graphqlhttp

import (
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/usererr"
)

// format is how a stream is written. Methods that begin with append append to b. The others return bytes that nobody changes.
type format interface {
	contentType() string
	// beginning is sent at once, before there is a result.
	beginning() []byte
	// appendResult appends a result. id may be empty.
	appendResult(b []byte, r *graphql.Response, id string) []byte
	// appendFailure appends the errors that the operation ended with. again says that the client may come back.
	appendFailure(b []byte, r *graphql.Response, again bool) []byte
	// ending is sent after the last result and the failure, if any.
	ending(again bool) []byte
	// interruption is sent when the operation has not ended, but the stream has to.
	interruption() []byte
	// signOfLife is sent when nothing was sent for longestSilence, or Options.KeepAlive if that is shorter.
	signOfLife() []byte
	longestSilence() time.Duration
}

// isTemporary reports whether an operation that ended with errs may succeed after a pause.
func isTemporary(errs gqlerror.List) bool {
	switch code(errs[0]) {
	case usererr.Unavailable, usererr.Timeout:
		return true
	}
	return false
}
