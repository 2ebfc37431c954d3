package graphqlhttp

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/jsonreader"
	"pullwatch/internal/usererr"
)

// readText returns the text of the request: its body, or the parameters in its URL. Put the buffer back with putRequest.
func (e *exchange) readText() (*buffer, *refusal) {
	text := takeRequest()
	if e.r.Method != http.MethodPost {
		text.bytes = append(text.bytes, e.r.URL.RawQuery...)
		return text, nil
	}
	if refused := e.readBody(text); refused != nil {
		text.putRequest()
		return nil, refused
	}
	return text, nil
}

// parse returns the parameters of the operations in the text of the request. That is one, unless the text is an array. began
// is when reading it began.
func (e *exchange) parse(text []byte, isBatch bool, began time.Time) ([]*graphql.RawParams, *refusal) {
	var operations []*graphql.RawParams
	var refused *refusal
	if turns := e.transport.options.Turns; turns != nil && len(text) > shortRequest {
		end, err := turns.Take(e.r.Context(), e.transport.options.Caller(e.r))
		if err != nil {
			return nil, &refusal{code: usererr.Timeout, status: http.StatusRequestTimeout, message: "the client has left"}
		}
		defer end()
	}
	switch {
	case isBatch:
		operations, refused = parseBatch(text, e.memory)
	case e.safe():
		operations, refused = single(parseURL(string(text), e.memory))
	default:
		operations, refused = single(parseBody(text, e.memory))
	}
	if refused != nil {
		return nil, refused
	}
	for _, p := range operations {
		if p.Query == "" && !jsonreader.NamesDocument(p) {
			return nil, badRequest(`"query" is missing or empty`)
		}
		p.ReadTime = graphql.TraceTiming{Start: began, End: graphql.Now()}
	}
	return operations, nil
}

func single(p *graphql.RawParams, refused *refusal) ([]*graphql.RawParams, *refusal) {
	return []*graphql.RawParams{p}, refused
}

// checkContent returns why a POST request is refused for the type of its body, or nil. Only JSON is accepted, so that pages
// of other origins cannot send anything: their browser asks this server before it sends JSON.
func checkContent(r *http.Request) *refusal {
	if content := r.Header.Get("Content-Type"); content != typeJSON {
		kind, parameters, err := mime.ParseMediaType(content)
		charset, named := parameters["charset"]
		if err != nil || kind != typeJSON || named && !strings.EqualFold(charset, "utf-8") {
			return unsupported("send the request as JSON in UTF-8 with Content-Type: " + typeJSON)
		}
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return unsupported("send the request without Content-Encoding")
	}
	return nil
}

func unsupported(message string) *refusal {
	return &refusal{status: http.StatusUnsupportedMediaType, code: usererr.BadInput, message: message}
}

// readBody reads the body of a POST request into text, or returns why the request is refused.
func (e *exchange) readBody(text *buffer) *refusal {
	limit := e.transport.options.BodyLimit
	if e.r.ContentLength > limit {
		return tooLong(limit)
	}
	err := e.receive(text, http.MaxBytesReader(e.w, e.r.Body, limit))
	if err == nil {
		return nil
	}
	if refused := refuseJSON(err); refused != nil {
		refused.unread = true
		return refused
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLong(limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{
			status: http.StatusRequestTimeout, code: usererr.Timeout, message: "the request did not arrive in time",
		}
	}
	return badRequest("the request did not arrive as a whole")
}

// receive reads all of body into text. It takes the memory before it reads: all at once if the client has sent a
// Content-Length.
func (e *exchange) receive(text *buffer, body io.Reader) error {
	for {
		if len(text.bytes) == cap(text.bytes) {
			// One more byte, so that the end of the body is read without growing again.
			longer := max(2*cap(text.bytes), int(e.r.ContentLength)+1)
			if err := e.memory.Take(budget.Requests, longer); err != nil {
				return err
			}
			longerText := append(make([]byte, 0, longer), text.bytes...)
			e.memory.Give(budget.Requests, text.counted)
			text.bytes, text.counted = longerText, longer
		}
		n, err := body.Read(text.bytes[len(text.bytes):cap(text.bytes)])
		text.bytes = text.bytes[:len(text.bytes)+n]
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func tooLong(limit int64) *refusal {
	return &refusal{
		status: http.StatusRequestEntityTooLarge, code: usererr.LimitExceeded, unread: true,
		message: fmt.Sprintf("the request is too long; it may have %d bytes", limit),
	}
}

// parseURL reads the parameters of a GET request.
func parseURL(query string, memory *budget.Account) (*graphql.RawParams, *refusal) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, badRequest("the URL's parameters are not well-formed: " + strings.ToValidUTF8(err.Error(), "\uFFFD"))
	}
	p := &graphql.RawParams{}
	var id string
	for _, parameter := range []struct {
		name   string
		text   *string
		object *map[string]any
	}{
		{name: "query", text: &p.Query}, {name: "operationName", text: &p.OperationName},
		{name: "variables", object: &p.Variables}, {name: "extensions", object: &p.Extensions},
		{name: "documentId", text: &id},
	} {
		of := values[parameter.name]
		switch {
		case len(of) == 0 || of[0] == "" && len(of) == 1:
			continue
		case len(of) > 1:
			return nil, badRequest(fmt.Sprintf("the URL has %q more than once", parameter.name))
		case !utf8.ValidString(of[0]):
			return nil, badRequest(fmt.Sprintf("%q is not UTF-8", parameter.name))
		case parameter.text != nil:
			*parameter.text = of[0]
			continue
		}
		if err := parseObject(of[0], parameter.object, memory); err != nil {
			if refused := refuseJSON(err); refused != nil {
				return nil, refused
			}
			return nil, badRequest(fmt.Sprintf("%q is not a JSON object", parameter.name))
		}
	}
	if id != "" {
		jsonreader.SetDocumentID(p, id)
	}
	return p, nil
}
