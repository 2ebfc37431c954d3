package graphqlhttp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/jsonreader"
	"pullwatch/internal/usererr"
)

// parseBody reads the parameters of a POST request. It takes their memory from memory.
func parseBody(text []byte, memory *budget.Account) (*graphql.RawParams, *refusal) {
	if !utf8.Valid(text) {
		return nil, badRequest("the request is not UTF-8")
	}
	r := jsonreader.New(text, memory)
	p, _, err := r.Params()
	if err == nil && !r.End() {
		err = r.Err()
	}
	if err != nil {
		return nil, refuseText(text, err)
	}
	return p, nil
}

// refuseText returns the refusal of a request whose text could not be parsed because of err.
func refuseText(text []byte, err error) *refusal {
	if refused := refuseJSON(err); refused != nil {
		return refused
	}
	var value json.RawMessage
	syntax, isSyntax := errors.AsType[*json.SyntaxError](json.Unmarshal(text, &value))
	member, isMember := errors.AsType[*jsonreader.MemberError](err)
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return badRequest("the request has no body")
	case isSyntax:
		return badRequest(fmt.Sprintf("the request is not JSON: %s (at byte %d)", syntax, syntax.Offset))
	case isMember:
		return badRequest(member.Error())
	case bytes.HasPrefix(value, []byte("[")):
		return badRequest("the array has something else than JSON objects")
	}
	return badRequest("the request is not a JSON object")
}

// refuseJSON returns why a request is refused that exceeds a limit of memory. It returns nil for other errors.
func refuseJSON(err error) *refusal {
	if limit, ok := errors.AsType[*jsonreader.LimitError](err); ok {
		return &refusal{status: http.StatusRequestEntityTooLarge, code: usererr.LimitExceeded, message: limit.Error()}
	}
	if usererr.CodeOf(err) == usererr.Unavailable { // the budget's
		return noMemory(err)
	}
	return nil
}

// noMemory returns the refusal of what does not fit into the budget.
func noMemory(err error) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, code: usererr.Unavailable, message: err.Error()}
}

// parseObject reads text that is a JSON object or null.
func parseObject(text string, to *map[string]any, memory *budget.Account) error {
	r := jsonreader.New([]byte(text), memory)
	if !r.ReadObject(to) || !r.End() {
		return cmp.Or(r.Err(), jsonreader.ErrSyntax)
	}
	return nil
}
