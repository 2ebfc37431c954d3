package graphqlhttp

import (
	"fmt"
	"net/http"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/jsonreader"
	"pullwatch/internal/serve/transport"
	"pullwatch/internal/usererr"
)

// maxBatch is how many operations a request may have in an array.
const maxBatch = 10

// isBatch reports whether the body of a request is an array.
func isBatch(text []byte) bool {
	for _, c := range text {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '['
		}
	}
	return false
}

// parseBatch reads the parameters of the operations of a POST request. All together may have as many values as one.
func parseBatch(text []byte, memory *budget.Account) ([]*graphql.RawParams, *refusal) {
	if !utf8.Valid(text) {
		return nil, badRequest("the request is not UTF-8")
	}
	r := jsonreader.New(text, memory)
	r.Next()
	var batch []*graphql.RawParams
	for more := r.Enter(']'); more; more = r.More(']') {
		if len(batch) == maxBatch {
			return nil, &refusal{
				status: http.StatusRequestEntityTooLarge, code: usererr.LimitExceeded,
				message: fmt.Sprintf("the array has more than %d operations", maxBatch),
			}
		}
		p, _, err := r.Params()
		if err != nil {
			return nil, refuseText(text, err)
		}
		batch = append(batch, p)
	}
	if !r.End() {
		return nil, refuseText(text, r.Err())
	}
	if len(batch) == 0 {
		return nil, badRequest("the array has no operation")
	}
	return batch, nil
}

// batch executes the operations of an array, one after the other, and sends an array of their responses. So it takes as
// much of the server as one operation at a time.
func (e *exchange) batch(operations []*graphql.RawParams) *refusal {
	if e.accepted.single == "" {
		return &refusal{
			status: http.StatusNotAcceptable, code: usererr.BadInput,
			message: "an array of operations gets no stream: accept " + typeJSON + " or " + typeResponse,
		}
	}
	text := takeBuffer()
	defer text.put()
	separator := byte('[')
	for _, params := range operations {
		text.bytes = append(text.bytes, separator)
		before := len(text.bytes)
		text.bytes = e.appendResult(text.bytes, params)
		// What the operation has taken for its response is given back. The text is kept, and taken twice, as send does: so
		// that send cannot fail when mutations have been executed.
		if err := e.memory.Set(budget.Responses, 2*(len(text.bytes)+len("]"))); err != nil {
			text.bytes = e.appendRefusal(text.bytes[:before], noMemory(err))
		}
		separator = ','
	}
	text.bytes = append(text.bytes, ']')
	e.unshared = len(text.bytes)
	e.send(http.StatusOK, NewBody(text.bytes))
	return nil
}

// appendResult executes an operation of an array and appends its response.
func (e *exchange) appendResult(b []byte, params *graphql.RawParams) []byte {
	if e.r.Context().Err() != nil {
		return e.appendRefusal(b, ended())
	}
	o := &operation{}
	ctx := transport.WithOperation(graphql.StartOperationTrace(budget.With(e.r.Context(), e.memory)), o)
	prepared, failed := e.prepare(ctx, params)
	if failed != nil {
		return appendResponse(b, failed)
	}
	if prepared.Operation.Operation == ast.Subscription {
		return e.appendRefusal(b, badRequest("a subscription cannot be one of several operations in an array: open a WebSocket, or a stream"))
	}
	response := e.execute(ctx, prepared)
	if body, _ := o.reply(); body != nil {
		return append(b, body.plain.bytes...)
	}
	return appendResponse(b, response)
}

// appendRefusal appends the response to an operation that is refused.
func (e *exchange) appendRefusal(b []byte, refused *refusal) []byte {
	e.transport.options.Observer.Refused(refused.code)
	return appendResponse(b, refused.response())
}
