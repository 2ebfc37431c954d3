package httpapi

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestPagesOfOtherOriginsRunNothing: with a request that a browser sends without asking this server first, a page of another origin
// could start pulls, or make the server execute queries, though it could not read the answers.
func TestPagesOfOtherOriginsRunNothing(t *testing.T) {
	const mutation = "mutation { startPulls(input: { images: [\"nginx:1\"] }) { results { image } } }"
	const query = "{ activePulls { id } }"
	byGET := func(document string) string { return "/graphql?query=" + strings.ReplaceAll(document, " ", "%20") }
	foreign := map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
	with := func(header map[string]string, more ...string) map[string]string {
		all := map[string]string{}
		for name, value := range header {
			all[name] = value
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	for name, c := range map[string]struct {
		method, path, body string
		header             map[string]string
		want               int // 200 if it is executed
	}{
		"a text": {http.MethodPost, "/graphql", `{"query":"#"}`, with(foreign, "Content-Type", "text/plain"), 415},
		"a text that says it is JSON": {
			http.MethodPost, "/graphql", `{"query":"#"}`, with(foreign, "Content-Type", "text/plain; application/json"), 415,
		},
		"a form":                     {http.MethodPost, "/graphql", "query=#", with(foreign, "Content-Type", "application/x-www-form-urlencoded"), 415},
		"a form in the URL":          {http.MethodPost, byGET("#"), "", with(foreign, "Content-Type", "application/x-www-form-urlencoded"), 415},
		"a form with files":          {http.MethodPost, "/graphql", "--x\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n{\"query\":\"#\"}\r\n--x--\r\n", with(foreign, "Content-Type", "multipart/form-data; boundary=x"), 415},
		"a body without a type":      {http.MethodPost, "/graphql", `{"query":"#"}`, foreign, 415},
		"a GET":                      {http.MethodGet, byGET("#"), "", foreign, 403},
		"a GET of a sandboxed page":  {http.MethodGet, byGET("#"), "", with(foreign, "Origin", "null"), 403},
		"a GET for an ETag":          {http.MethodGet, byGET("#"), "", with(foreign, "If-None-Match", "*"), 403},
		"a HEAD":                     {http.MethodHead, byGET("#"), "", foreign, 403},
		"an image or a script":       {http.MethodGet, byGET("#"), "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
		"an image on the same site":  {http.MethodGet, byGET("#"), "", map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403},
		"a frame":                    {http.MethodGet, byGET("#"), "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-User": "?1"}, 403},
		"a window that nobody asked": {http.MethodGet, byGET("#"), "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 403},

		"a link that somebody clicks":     {http.MethodGet, byGET("#"), "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"}, 200},
		"an address that somebody types":  {http.MethodGet, byGET("#"), "", map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200},
		"a GET of this server's page":     {http.MethodGet, byGET("#"), "", map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200},
		"a GET of an allowed page":        {http.MethodGet, byGET("#"), "", with(foreign, "Origin", "https://dash.example"), 200},
		"a GET of no browser":             {http.MethodGet, byGET("#"), "", nil, 200},
		"a POST behind a proxy":           {http.MethodPost, "/graphql", `{"query":"#"}`, map[string]string{"Content-Type": "application/json", "Origin": "https://pulls.example", "Sec-Fetch-Site": "same-origin"}, 200},
		"a POST of which a browser asked": {http.MethodPost, "/graphql", `{"query":"#"}`, map[string]string{"Content-Type": "application/json"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			for _, document := range []string{query, mutation} {
				path := strings.ReplaceAll(c.path, "#", strings.ReplaceAll(strings.ReplaceAll(document, " ", "%20"), `"`, "%22"))
				body := strings.ReplaceAll(c.body, "#", strings.ReplaceAll(document, `"`, `\"`))
				want := c.want
				if document == mutation && want == 200 && c.method != http.MethodPost {
					want = 405
				}
				reads := s.backend.reads.Load()
				answer := s.request(t, c.method, path, body, c.header)
				text, err := io.ReadAll(answer.Body)
				if err != nil {
					t.Fatal(err)
				}
				executed := s.backend.reads.Load() > reads || len(s.backend.started.Images) > 0
				if answer.StatusCode != want || executed != (want == 200) {
					t.Errorf("%s: %s %s; executed: %v; want %d", document, answer.Status, text, executed, want)
				}
			}
		})
	}
}
