package graphqlhttp

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// post is a request with a body. header holds names and values in turn.
func post(body string, header ...string) request {
	return request{method: http.MethodPost, body: body, header: pairs(header)}
}

// get is a request with parameters in its URL.
func get(query string, header ...string) request { return request{query: query, header: pairs(header)} }

func pairs(header []string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(header); i += 2 {
		m[header[i]] = header[i+1]
	}
	return m
}

// says is the body of a response with one error.
func says(code, message string) string {
	return fmt.Sprintf(`{"errors":[{"message":%q,"extensions":{"code":%q}}]}`, message, code)
}

func TestRequestsAreAnsweredAsTheProtocolSays(t *testing.T) {
	const one = `{"data":{"one":1}}`
	const noJSON = "send the request as JSON in UTF-8 with Content-Type: application/json"
	const noEvents = "a subscription needs a WebSocket, or a request with Accept: text/event-stream or multipart/mixed;subscriptionSpec=1.0"
	for _, test := range []struct {
		rule string
		request
		status int
		body   string
		allow  string
	}{
		{rule: "a query by POST", request: post(`{"query":"{one}"}`), status: 200, body: one},
		{rule: "a query by GET", request: get("query=%7Bone%7D"), status: 200, body: one},
		{rule: "a mutation by POST", request: post(`{"query":"mutation one"}`), status: 200, body: one},
		{
			rule: "all parameters by POST; null is as good as absent; others are for later",
			request: post(`{"query":"echo","operationName":"A\u00e9","variables":{"n":12345678901234567890},
				"extensions":null,"other":[{}]}`),
			status: 200, body: `{"data":{"extensions":null,"name":"Aé","variables":{"n":12345678901234567890}}}`,
		},
		{
			rule:    "all parameters by GET; an empty one is as good as absent",
			request: get(`query=echo&operationName=A&variables=%7B%22n%22:1.0%7D&extensions=`),
			status:  200, body: `{"data":{"extensions":null,"name":"A","variables":{"n":1.0}}}`,
		},
		{
			rule:    "a charset",
			request: post(`{"query":"one"}`, "Content-Type", "Application/JSON; charset=UTF-8"), status: 200, body: one,
		},
		{
			rule:    "a persisted query needs no text",
			request: post(`{"extensions":{"persistedQuery":{"sha256Hash":"x"}}}`), status: 200, body: `{"data":"persisted"}`,
		},
		{rule: "nor does a document that has an id", request: post(`{"documentId":"x"}`), status: 200, body: `{"data":"persisted"}`},
		{rule: "by GET as well", request: get("documentId=x"), status: 200, body: `{"data":"persisted"}`},
		{rule: "an id that is null is none", request: post(`{"query":"one","documentId":null}`), status: 200, body: one},
		{
			rule: "an id of another type", request: post(`{"documentId":1}`), status: 400,
			body: says("BAD_INPUT", `"documentId" is not a string`),
		},
		{
			rule: "two ids", request: post(`{"documentId":"x","doc_id":"x"}`), status: 400,
			body: says("BAD_INPUT", `the request has "doc_id" more than once`),
		},
		{
			rule: "an id among the extensions is none", request: post(`{"extensions":{"documentId":"x"}}`), status: 400,
			body: says("BAD_INPUT", `"query" is missing or empty`),
		},

		{rule: "no body", request: post(""), status: 400, body: says("BAD_INPUT", "the request has no body")},
		{
			rule: "no JSON", request: post(`{"query"`), status: 400,
			body: says("BAD_INPUT", "the request is not JSON: unexpected end of JSON input (at byte 8)"),
		},
		{
			rule: "something after the JSON", request: post(`{"query":"one"} x`), status: 400,
			body: says("BAD_INPUT", "the request is not JSON: invalid character 'x' after top-level value (at byte 17)"),
		},
		{rule: "no object", request: post(`"one"`), status: 400, body: says("BAD_INPUT", "the request is not a JSON object")},
		{
			rule: "an array of something else", request: post(` [{"query":"one"},1]`), status: 400,
			body: says("BAD_INPUT", "the array has something else than JSON objects"),
		},
		{
			rule: "not UTF-8", request: post("{\"query\":\"\xe9\"}"), status: 400,
			body: says("BAD_INPUT", "the request is not UTF-8"),
		},
		{
			rule: "no query; names have one case", request: post(`{"Query":"one"}`), status: 400,
			body: says("BAD_INPUT", `"query" is missing or empty`),
		},
		{
			rule: "a query that is no string", request: post(`{"query":1}`), status: 400,
			body: says("BAD_INPUT", `"query" is not a string`),
		},
		{
			rule: "variables that are no object", request: post(`{"query":"one","variables":[]}`), status: 400,
			body: says("BAD_INPUT", `"variables" is not an object`),
		},
		{
			rule: "a parameter twice", request: post(`{"query":"one","query":"echo"}`), status: 400,
			body: says("BAD_INPUT", `the request has "query" more than once`),
		},
		{rule: "no query by GET", request: get(""), status: 400, body: says("BAD_INPUT", `"query" is missing or empty`)},
		{
			rule: "a parameter twice by GET", request: get("query=one&query=echo"), status: 400,
			body: says("BAD_INPUT", `the URL has "query" more than once`),
		},
		{rule: "not UTF-8 by GET", request: get("query=%ff"), status: 400, body: says("BAD_INPUT", `"query" is not UTF-8`)},
		{
			rule: "a URL that is none", request: get("query=%zz"), status: 400,
			body: says("BAD_INPUT", `the URL's parameters are not well-formed: invalid URL escape "%zz"`),
		},
		{
			rule: "variables that are no object by GET", request: get("query=one&variables=1"), status: 400,
			body: says("BAD_INPUT", `"variables" is not a JSON object`),
		},
		{
			rule:    "a request that is not well-formed has the same status with the newer media type",
			request: post("1", "Accept", typeResponse), status: 400, body: says("BAD_INPUT", "the request is not a JSON object"),
		},

		{
			rule: "too long", request: post(`{"query":"` + strings.Repeat("x", 1<<10) + `"}`), status: 413,
			body: says("LIMIT_EXCEEDED", "the request is too long; it may have 1024 bytes"),
		},
		{
			rule:    "a form, which a page of any origin can send",
			request: post("query=mutation+one", "Content-Type", "application/x-www-form-urlencoded"),
			status:  415, body: says("BAD_INPUT", noJSON),
		},
		{
			rule:    "text, which a page of any origin can send",
			request: post(`{"query":"mutation one"}`, "Content-Type", "text/plain"), status: 415, body: says("BAD_INPUT", noJSON),
		},
		{
			rule:    "no Content-Type, which a page of any origin can do without",
			request: post(`{"query":"mutation one"}`, "Content-Type", ""), status: 415, body: says("BAD_INPUT", noJSON),
		},
		{
			rule:    "another charset",
			request: post(`{"query":"one"}`, "Content-Type", "application/json; charset=latin1"),
			status:  415, body: says("BAD_INPUT", noJSON),
		},
		{
			rule: "a compressed request", request: post(`{"query":"one"}`, "Content-Encoding", "gzip"), status: 415,
			body: says("BAD_INPUT", "send the request without Content-Encoding"),
		},
		{
			rule: "another method", request: request{method: http.MethodPut}, status: 405, allow: "GET, HEAD, POST",
			body: says("BAD_INPUT", "send queries by GET or POST, mutations by POST"),
		},
		{
			rule: "a mutation by GET", request: get("query=mutation+one"), status: 405, allow: "POST",
			body: says("BAD_INPUT", "a mutation is sent by POST"),
		},
		{
			rule: "a mutation by GET as a stream", request: get("query=mutation+one", "Accept", typeEvents), status: 405,
			allow: "POST", body: says("BAD_INPUT", "a mutation is sent by POST"),
		},
		{
			rule: "nothing acceptable", request: post(`{"query":"one"}`, "Accept", "text/html"), status: 406,
			body: says("BAD_INPUT", "this server answers with application/json, application/graphql-response+json "+
				"and text/event-stream, and to subscriptions with multipart/mixed;subscriptionSpec=1.0: accept one of them"),
		},
		{
			rule: "a subscription as JSON", request: post(`{"query":"subscription updates"}`), status: 406,
			body: says("BAD_INPUT", noEvents),
		},
		{
			rule:    "an image of a page cannot start a subscription",
			request: get("query=subscription+updates", "Accept", "image/avif,*/*;q=0.8"),
			status:  406, body: says("BAD_INPUT", noEvents),
		},

		{
			rule:    "a request that failed has status 200 in the older form, and no data",
			request: post(`{"query":"invalid"}`), status: 200, body: `{"errors":[{"message":"invalid"}]}`,
		},
		{
			rule: "and 400 in the newer", request: post(`{"query":"invalid"}`, "Accept", typeResponse), status: 400,
			body: `{"errors":[{"message":"invalid"}]}`,
		},
		{
			rule: "a client that may not", request: post(`{"query":"fail FORBIDDEN"}`, "Accept", typeResponse), status: 403,
			body: says("FORBIDDEN", "failed"),
		},
		{
			rule: "a client that is not known", request: post(`{"query":"fail UNAUTHENTICATED"}`, "Accept", typeResponse), status: 401,
			body: says("UNAUTHENTICATED", "failed"),
		},
		{
			rule: "later", request: post(`{"query":"fail UNAVAILABLE"}`, "Accept", typeResponse), status: 503,
			body: says("UNAVAILABLE", "failed"),
		},
		{
			rule: "a field's error comes with data", request: post(`{"query":"field error"}`, "Accept", typeResponse), status: 200,
			body: `{"errors":[{"message":"oops"}],"data":{"a":null},"extensions":{"x":1}}`,
		},
		{
			rule: "data that an error made null is data", request: post(`{"query":"null"}`, "Accept", typeResponse), status: 200,
			body: `{"errors":[{"message":"oops"}],"data":null}`,
		},
		{
			rule: "a panic", request: post(`{"query":"panic"}`, "Accept", typeResponse), status: 500,
			body: says("INTERNAL", "recovered"),
		},
		{
			rule: "a panic before the operation", request: post(`{"query":"panic early"}`, "Accept", typeResponse), status: 500,
			body: says("INTERNAL", "recovered"),
		},
		{
			rule: "no response", request: post(`{"query":"nothing"}`, "Accept", typeResponse), status: 504,
			body: says("TIMEOUT", "the request ended before its answer was ready"),
		},
		{
			rule: "data that is not UTF-8", request: post(`{"query":"latin1"}`), status: 200,
			body: "{\"data\":{\"a\":\"\uFFFD\"}}",
		},
		{
			rule: "errors that have no JSON", request: post(`{"query":"unencodable"}`), status: 200,
			body: `{"errors":[{"message":"the errors cannot be encoded"}]}`,
		},
	} {
		t.Run(test.rule, func(t *testing.T) {
			got, body := ask(t, newScript(), test.request)
			if got.StatusCode != test.status || body != test.body {
				t.Errorf("%d %s\nwant %d %s", got.StatusCode, body, test.status, test.body)
			}
			want := map[string]string{
				"Allow": test.allow, "Content-Length": strconv.Itoa(len(body)), "Vary": "Accept, Accept-Encoding",
				"Content-Type": typeJSON + "; charset=utf-8",
			}
			if test.header["Accept"] == typeResponse {
				want["Content-Type"] = typeResponse + "; charset=utf-8"
			}
			if strings.Contains(body, `"errors"`) {
				want["Cache-Control"] = "no-store"
			}
			for name, value := range want {
				if got.Header.Get(name) != value {
					t.Errorf("%s: %s, want %s", name, got.Header.Get(name), value)
				}
			}
		})
	}
}

// endless is a body of unknown length that does not end.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	e.read += len(b)
	return copy(b, bytes.Repeat([]byte(" "), len(b))), nil
}

func TestChunkedBodyThatIsTooLongIsRefused(t *testing.T) {
	s := serve(t, Options{BodyLimit: 1 << 10})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, io.LimitReader(&endless{}, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", typeJSON)
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body := readAll(t, response.Body); response.StatusCode != 413 || !strings.Contains(body, "LIMIT_EXCEEDED") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

func TestBodyThatIsCutOffIsRefused(t *testing.T) {
	r := post("{").build(t, "http://example.com")
	r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))
	recorder := httptest.NewRecorder()
	New(Options{}).Do(recorder, r, newScript())
	if recorder.Code != 400 || !strings.Contains(recorder.Body.String(), "the request did not arrive as a whole") {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
}

func TestBodyThatDoesNotArriveIsRefusedInTime(t *testing.T) {
	s := &server{Transport: New(Options{}), script: newScript()}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ReadTimeout = 50 * time.Millisecond
	s.Start()
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if answer := readAll(t, conn); !strings.HasPrefix(answer, "HTTP/1.1 408 ") || !strings.Contains(answer, "TIMEOUT") {
		t.Error(answer)
	}
}
