package graphqlhttp

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/transport"
	"pullwatch/internal/usererr"
)

// Values of headers, made once for all responses.
var (
	contentTypes = map[string][]string{
		typeJSON:     {typeJSON + "; charset=utf-8"},
		typeResponse: {typeResponse + "; charset=utf-8"},
	}
	contentGzip = []string{"gzip"}
	// A browser caches the response to a query, and asks each time whether it is still valid.
	revalidate = []string{"private, no-cache"}
	neverCache = []string{"no-store"}
	retryAfter = []string{"5"} // seconds
)

// respond sends a response of gqlgen.
func (e *exchange) respond(response *graphql.Response) {
	text := takeBuffer()
	defer text.put()
	text.bytes = appendResponse(text.bytes, response)
	e.unshared = len(text.bytes) + len(response.Data)
	if len(response.Errors) == 0 {
		e.respondBody(NewBody(text.bytes))
		return
	}
	header := e.w.Header()
	header["Cache-Control"] = neverCache
	if code(response.Errors[0]) == usererr.Unavailable {
		header["Retry-After"] = retryAfter
	}
	e.send(statusOf(response, e.accepted.single), NewBody(text.bytes))
}

// respondBody sends a response without errors, or 304 if the client has it already.
func (e *exchange) respondBody(b *Body) {
	if !e.safe() {
		e.send(http.StatusOK, b)
		return
	}
	header := e.w.Header()
	header["Cache-Control"] = revalidate
	tag := b.etag()
	header["Etag"] = tag
	if matches(e.r.Header["If-None-Match"], tag[0]) {
		header.Add("Vary", vary)
		e.w.WriteHeader(http.StatusNotModified)
		e.transport.options.Observer.Responded(http.StatusNotModified, 0)
		return
	}
	e.send(http.StatusOK, b)
}

// refuse sends a refusal.
func (e *exchange) refuse(refused *refusal) {
	header := e.w.Header()
	header["Cache-Control"] = neverCache
	if refused.allow != "" {
		header.Set("Allow", refused.allow)
	}
	if refused.unread && e.r.ProtoMajor == 1 {
		header.Set("Connection", "close")
		// Otherwise net/http reads the rest of the request before it sends the response.
		_ = http.NewResponseController(e.w).EnableFullDuplex()
		defer e.transport.discards.discard(e)
	}
	if refused.status == http.StatusServiceUnavailable || refused.status == http.StatusTooManyRequests {
		header["Retry-After"] = retryAfter
	}
	e.transport.options.Observer.Refused(refused.code)
	e.write(refused.status, NewBody(appendResponse(nil, refused.response())).plain)
}

// vary names the header fields of the request that the response depends on.
const vary = "Accept, Accept-Encoding"

func (e *exchange) send(status int, b *Body) {
	header := e.w.Header()
	text := b.plain
	if len(text.bytes) >= gzipFrom && acceptsGzip(e.r.Header["Accept-Encoding"]) {
		text = b.gzip()
		header["Content-Encoding"] = contentGzip
	}
	// A client that does not read keeps the response in memory until the write times out.
	if err := e.memory.Set(budget.Responses, e.unshared+len(text.bytes)); err != nil {
		header.Del("Content-Encoding")
		header.Del("Etag")
		e.refuse(noMemory(err))
		return
	}
	e.write(status, text)
}

func (e *exchange) write(status int, text encoded) {
	header := e.w.Header()
	single := e.accepted.single
	if single == "" {
		single = typeJSON
	}
	header["Content-Type"] = contentTypes[single]
	header["Content-Length"] = text.length
	header.Add("Vary", vary)
	e.w.WriteHeader(status)
	n, _ := e.w.Write(text.bytes) // a client that is gone needs no response
	e.transport.options.Observer.Responded(status, n)
}

// matches reports whether If-None-Match names tag, which is weak.
func matches(values []string, tag string) bool {
	if len(values) == 1 && (values[0] == tag || values[0] == "*") {
		return true
	}
	// Tags of other servers may hold commas. The parts of such a tag have no quotes on both sides, so none equals tag.
	for value := range elements(values) {
		if strings.TrimPrefix(value, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// statusOf returns the status of a response that has errors. With the older media type that is always 200: any other status
// could come from a proxy.
func statusOf(response *graphql.Response, media string) int {
	if media != typeResponse || len(response.Data) > 0 {
		return http.StatusOK
	}
	switch code(response.Errors[0]) {
	case usererr.Unauthenticated:
		return http.StatusUnauthorized
	case usererr.Forbidden:
		return http.StatusForbidden
	case usererr.Timeout:
		return http.StatusGatewayTimeout
	case usererr.Unavailable:
		return http.StatusServiceUnavailable
	case usererr.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// code returns an error's extensions.code, which may be of any string type.
func code(err *gqlerror.Error) usererr.Code {
	text, _ := json.Marshal(err.Extensions["code"])
	return usererr.Code(strings.Trim(string(text), `"`))
}

// appendResponse appends a response as JSON text. It copies data without checking it: gqlgen has just made it, and to scan
// it again costs more than all the rest. Errors come first so that people see them. A request that failed before it was
// executed has no data.
func appendResponse(b []byte, r *graphql.Response) []byte {
	separator := byte('{')
	member := func(name string, value []byte) {
		b = append(append(b, separator, '"'), name...)
		b = append(append(b, `":`...), value...)
		separator = ','
	}
	if len(r.Errors) > 0 {
		member("errors", transport.EncodeErrors(r.Errors))
	}
	switch {
	case len(r.Data) > 0:
		member("data", r.Data)
	case len(r.Errors) == 0:
		member("data", []byte("null"))
	}
	if r.Label != "" {
		member("label", encode(r.Label))
	}
	if len(r.Path) > 0 {
		member("path", encode(r.Path))
	}
	if r.HasNext != nil {
		member("hasNext", encode(r.HasNext))
	}
	if len(r.Extensions) > 0 {
		member("extensions", encode(r.Extensions))
	}
	return append(b, '}')
}

// encode returns value as JSON. The server's own code fills extensions, and may put something into them that has no JSON.
func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		return []byte("null")
	}
	return text
}
