package httpapi

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pullwatch/internal/pull"
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/trusted"
	"pullwatch/resolvers"
)

const (
	trustedQuery        = "query Active { activePulls { id } }"
	trustedMutation     = "mutation Cancel($id: ID!) { cancelPull(id: $id) { id } }"
	trustedSubscription = "subscription Watch { pullJobUpdated { phase } }"
	pageQuery           = "{ page: activePulls { id } }"
)

// manifest has the documents by ids that are none of their hashes.
var manifest = map[string]string{"q": trustedQuery, "m": trustedMutation, "s": trustedSubscription}

// serveTrusted serves with a manifest, which replace replaces.
func serveTrusted(t *testing.T, only bool) (s *served, replace func(map[string]string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "persisted-documents.json")
	write := func(documents map[string]string) {
		text, err := json.Marshal(documents)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(manifest)
	schema := resolvers.NewSchema(&resolvers.Resolver{}).Schema()
	documents, err := trusted.Load(trusted.Options{
		Files: []string{file}, Page: []string{pageQuery}, Logger: slog.New(slog.DiscardHandler),
		Check: func(text string) error { return executor.CheckDocument(schema, true, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s = serveWithMemory(t, testLimits, 1<<30, func(o *Options) { o.Trusted, o.OnlyTrusted = documents, only })
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Queued})
	return s, func(replaced map[string]string) {
		write(replaced)
		documents.Reload()
	}
}

// Ways to send the parameters of a request. Each returns the result, or the first one.
var ways = map[string]func(t *testing.T, s *served, parameters map[string]any) response{
	"POST": func(t *testing.T, s *served, parameters map[string]any) response {
		return decode(t, s.request(t, http.MethodPost, "/graphql", encoded(t, parameters), map[string]string{"Content-Type": "application/json"}))
	},
	"array": func(t *testing.T, s *served, parameters map[string]any) response {
		answer := s.request(t, http.MethodPost, "/graphql", encoded(t, []any{parameters}), map[string]string{"Content-Type": "application/json"})
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return parsed(t, strings.TrimSuffix(strings.TrimPrefix(string(text), "["), "]"))
	},
	"GET": func(t *testing.T, s *served, parameters map[string]any) response {
		return decode(t, s.request(t, http.MethodGet, "/graphql?"+query(t, parameters), "", nil))
	},
	"events by POST": func(t *testing.T, s *served, parameters map[string]any) response {
		return firstEvent(t, s.request(t, http.MethodPost, "/graphql", encoded(t, parameters),
			map[string]string{"Content-Type": "application/json", "Accept": "text/event-stream"}))
	},
	"events by GET": func(t *testing.T, s *served, parameters map[string]any) response {
		return firstEvent(t, s.request(t, http.MethodGet, "/graphql?"+query(t, parameters), "", map[string]string{"Accept": "text/event-stream"}))
	},
	"WebSocket": func(t *testing.T, s *served, parameters map[string]any) response {
		m := read(t, s.subscribeWith(t, parameters))
		if m.Type == "error" {
			return parsed(t, `{"errors":`+string(m.Payload)+`}`)
		}
		return parsed(t, string(m.Payload))
	},
}

func encoded(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func query(t *testing.T, parameters map[string]any) string {
	t.Helper()
	values := url.Values{}
	for name, value := range parameters {
		text, isText := value.(string)
		if !isText {
			text = encoded(t, value)
		}
		values.Set(name, text)
	}
	return values.Encode()
}

func parsed(t *testing.T, text string) (r response) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return r
}

func firstEvent(t *testing.T, answer *http.Response) response {
	t.Helper()
	if answer.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		return decode(t, answer)
	}
	_, data, _ := strings.Cut(readEvent(t, bufio.NewReader(answer.Body)), "data: ")
	return parsed(t, data)
}

// expectAnswer checks that a response has the data, or an error with the code and a message that has wanted.
func expectAnswer(t *testing.T, name string, got response, code, wanted string) {
	t.Helper()
	if code == "" {
		if string(got.Data) != wanted || len(got.Errors) > 0 {
			t.Errorf("%s: %s %+v; want %s", name, got.Data, got.Errors, wanted)
		}
		return
	}
	if len(got.Errors) != 1 || got.Errors[0].Extensions.Code != code || !strings.Contains(got.Errors[0].Message, wanted) {
		t.Errorf("%s: %s %+v; want %s %q", name, got.Data, got.Errors, code, wanted)
	}
}

func TestDocumentsAreNamedOnEveryTransport(t *testing.T) {
	named := func(hash string) map[string]any {
		return map[string]any{"persistedQuery": map[string]any{"version": 1, "sha256Hash": hash}}
	}
	const active, queued = `{"activePulls":[{"id":"a"}]}`, `{"pullJobUpdated":{"phase":"QUEUED"}}`
	for _, c := range []struct {
		name       string
		only       bool
		parameters map[string]any
		code, want string
		except     string // ways that answer otherwise
	}{
		{name: "documentId", parameters: map[string]any{"documentId": "q"}, want: active},
		{name: "doc_id and no text, as Relay does", parameters: map[string]any{"doc_id": "q", "query": nil}, want: active, except: "GET events by GET"},
		{name: "an empty text, as graphql-ws wants one", parameters: map[string]any{"documentId": "q", "query": ""}, want: active},
		{name: "the SHA-256 of a document that has another id", parameters: map[string]any{"documentId": "sha256:" + hash(trustedQuery)}, want: active},
		{name: "a persisted query's hash", parameters: map[string]any{"extensions": named(hash(trustedQuery))}, want: active},
		{name: "an id in the place of that hash", parameters: map[string]any{"extensions": named("q")}, want: active},
		{name: "that with the text", parameters: map[string]any{"extensions": named("q"), "query": trustedQuery}, want: active},
		{name: "that with another text", parameters: map[string]any{"extensions": named("q"), "query": pageQuery}, code: "BAD_INPUT", want: "sha256Hash is not the hash"},
		{name: "a subscription", parameters: map[string]any{"documentId": "s"}, want: queued, except: "POST GET array"},
		{name: "a mutation", parameters: map[string]any{"documentId": "m", "variables": map[string]any{"id": "a"}}, code: "UNAVAILABLE", want: "Kubernetes", except: "GET events by GET"},
		{name: "an id and a text", parameters: map[string]any{"documentId": "q", "query": trustedQuery}, code: "BAD_INPUT", want: `one of "query", "documentId"`},
		{name: "an unknown id", parameters: map[string]any{"documentId": "x"}, code: "NOT_FOUND", want: `the documentId "x": have its file added to them, or send the query`},
		{name: "an empty text and nothing else", parameters: map[string]any{"query": ""}, code: "BAD_INPUT", want: "query"},
		{name: "an unknown hash", parameters: map[string]any{"extensions": named("x")}, code: "NOT_FOUND", want: "PersistedQueryNotFound"},
		{name: "any other document", parameters: map[string]any{"query": "{activePulls{id}}"}, want: active},

		{name: "only trusted: documentId", only: true, parameters: map[string]any{"documentId": "q"}, want: active},
		{name: "only trusted: the text", only: true, parameters: map[string]any{"query": trustedQuery}, want: active},
		{name: "only trusted: the page's own", only: true, parameters: map[string]any{"query": pageQuery}, want: `{"page":[{"id":"a"}]}`},
		{name: "only trusted: another document", only: true, parameters: map[string]any{"query": "{activePulls{id}}"}, code: "FORBIDDEN", want: "have it added to a file of --trusted-documents"},
		{name: "only trusted: what is not even well-formed", only: true, parameters: map[string]any{"query": "{"}, code: "FORBIDDEN", want: "--only-trusted"},
		{name: "only trusted: another document and its hash", only: true, parameters: map[string]any{"query": "{activePulls{id}}", "extensions": named(hash("{activePulls{id}}"))}, code: "FORBIDDEN", want: "--only-trusted"},
		{name: "only trusted: that hash by itself", only: true, parameters: map[string]any{"extensions": named(hash("{activePulls{id}}"))}, code: "NOT_FOUND", want: "have its file added to them"},
		{name: "only trusted: an unknown id", only: true, parameters: map[string]any{"documentId": "x"}, code: "NOT_FOUND", want: `the documentId "x": have its file added to them`},
		{name: "only trusted: introspection", only: true, parameters: map[string]any{"query": "{__schema{queryType{name}}}"}, code: "FORBIDDEN", want: "--only-trusted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := serveTrusted(t, c.only)
			for way, send := range ways {
				if !strings.Contains(" "+c.except+" ", " "+way+" ") {
					expectAnswer(t, way, send(t, s, c.parameters), c.code, c.want)
				}
			}
		})
	}
}

func TestADocumentIDIsNotKnownWithoutManifests(t *testing.T) {
	s := serve(t)
	for way, send := range ways {
		expectAnswer(t, way, send(t, s, map[string]any{"documentId": "q"}), "NOT_FOUND", "it has no --trusted-documents: send the query")
	}
}

func TestADocumentThatIsNoLongerTrustedIsNotAnsweredFromMemory(t *testing.T) {
	s, replace := serveTrusted(t, true)
	s.backend.unchanged = true
	byID, byText := map[string]any{"documentId": "q"}, map[string]any{"query": trustedQuery}
	answers := func(code, wanted, codeOfText, wantedOfText string) {
		t.Helper()
		for range 3 { // the second and third time from memory
			for _, way := range []string{"POST", "GET"} {
				expectAnswer(t, way, ways[way](t, s, byID), code, wanted)
				expectAnswer(t, way, ways[way](t, s, byText), codeOfText, wantedOfText)
			}
		}
	}
	answers("", `{"activePulls":[{"id":"a"}]}`, "", `{"activePulls":[{"id":"a"}]}`)
	replace(map[string]string{"q": "{ other: activePulls { id } }"})
	answers("", `{"other":[{"id":"a"}]}`, "FORBIDDEN", "--only-trusted")
	replace(map[string]string{})
	answers("NOT_FOUND", "documentId", "FORBIDDEN", "--only-trusted")
}

func TestOperatorsSeeWhichDocumentsClientsSend(t *testing.T) {
	s, _ := serveTrusted(t, false)
	s.backend.unchanged = true
	for range 3 {
		ways["GET"](t, s, map[string]any{"documentId": "q"})
		ways["POST"](t, s, map[string]any{"query": "{activePulls{id}}"})
	}
	ways["POST"](t, s, map[string]any{"query": pageQuery})
	ways["POST"](t, s, map[string]any{"documentId": "x"})
	got := s.counters(t, "pullwatch_trusted_documents_requests_total")
	for document, want := range map[string]float64{"trusted": 3, "other": 3, "page": 1, "unknown": 1} {
		if got[document] != want {
			t.Errorf("%s: %v; want %v", document, got[document], want)
		}
	}
}
