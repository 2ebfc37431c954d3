package graphqlhttp

import (
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/usererr"
)

// A refusal says why this package refuses a request.
type refusal struct {
	status  int
	code    usererr.Code
	message string
	// allow is the value of the Allow header, or empty.
	allow string
	// unread means that the rest of the request was not read. The connection then takes no other request.
	unread bool
}

func badRequest(message string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: usererr.BadInput, message: message}
}

// response returns the refusal as the client sees it.
func (r *refusal) response() *graphql.Response {
	return &graphql.Response{Errors: gqlerror.List{{Message: r.message, Extensions: map[string]any{"code": r.code}}}}
}
