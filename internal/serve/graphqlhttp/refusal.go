package graphqlhttp

import (
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// What is in extensions.code of the errors of this package, and what the codes of resolvers' errors are compared with.
const (
	codeBadInput        = "BAD_INPUT"
	codeUnauthenticated = "UNAUTHENTICATED"
	codeForbidden       = "FORBIDDEN"
	codeLimitExceeded   = "LIMIT_EXCEEDED"
	codeTimeout         = "TIMEOUT"
	codeUnavailable     = "UNAVAILABLE"
	codeInternal        = "INTERNAL"
)

// A refusal is why a request gets no response of its operation.
type refusal struct {
	status  int
	code    string
	message string
	// allow is the value of the Allow header, if it has one.
	allow string
	// unread means that the rest of the request is not read, so that the connection has no other request.
	unread bool
}

func badRequest(message string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: codeBadInput, message: message}
}

// response returns the refusal as the client sees it.
func (r *refusal) response() *graphql.Response {
	return &graphql.Response{Errors: gqlerror.List{{Message: r.message, Extensions: map[string]any{"code": r.code}}}}
}
