package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// do sends a request with header, given as names and values in turn, to a page of the demo.
func do(t *testing.T, method, target string, header ...string) *http.Response {
	t.Helper()
	request := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	options := Options{Demo: true, Behaviors: []Behavior{{"slow", "crawls & succeeds"}}, Schema: "type Query { a: Int }"}
	Handler(options).ServeHTTP(recorder, request)
	return recorder.Result()
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func expectHeader(t *testing.T, response *http.Response, name, want string) {
	t.Helper()
	if got := response.Header.Get(name); got != want {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}

func TestPageIsServedWithSecurityHeaders(t *testing.T) {
	response := do(t, http.MethodGet, "/")
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	expectHeader(t, response, "Content-Type", "text/html; charset=utf-8")
	expectHeader(t, response, "Cache-Control", "no-cache")
	expectHeader(t, response, "X-Content-Type-Options", "nosniff")
	expectHeader(t, response, "Referrer-Policy", "no-referrer")
	policy := response.Header.Get("Content-Security-Policy")
	for _, directive := range []string{
		"default-src 'none'", "script-src 'self';", "connect-src 'self';", "frame-ancestors 'none'",
	} {
		if !strings.Contains(policy, directive) {
			t.Errorf("Content-Security-Policy %q lacks %q", policy, directive)
		}
	}
}

func TestTheSchemaIsServedAndNotSentTwice(t *testing.T) {
	response := do(t, http.MethodGet, "/schema.graphql")
	if got := body(t, response); response.StatusCode != http.StatusOK || got != "type Query { a: Int }" {
		t.Errorf("%s %q", response.Status, got)
	}
	expectHeader(t, response, "Content-Type", "text/plain; charset=utf-8")
	expectHeader(t, response, "Cache-Control", "no-cache")
	if again := do(t, http.MethodGet, "/schema.graphql", "If-None-Match", response.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("again: %s", again.Status)
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	for _, path := range []string{"/nothing", "/index.html", "/assets/", "/assets/0/page.js", "/page.html"} {
		response := do(t, http.MethodGet, path)
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, response.Status)
		}
		expectHeader(t, response, "Content-Type", "text/plain; charset=utf-8")
	}
}

func TestOnlyGetAndHeadAreAllowed(t *testing.T) {
	head := do(t, http.MethodHead, "/")
	if head.StatusCode != http.StatusOK || body(t, head) != "" {
		t.Errorf("HEAD: %s", head.Status)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		response := do(t, method, "/")
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", method, response.Status)
		}
		expectHeader(t, response, "Allow", "GET, HEAD")
	}
}

func TestBrowsersDoNotLoadAgainWhatHasNotChanged(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip"} {
		first := do(t, http.MethodGet, "/", "Accept-Encoding", encoding)
		again := do(t, http.MethodGet, "/", "Accept-Encoding", encoding, "If-None-Match", first.Header.Get("ETag"))
		if again.StatusCode != http.StatusNotModified || body(t, again) != "" {
			t.Errorf("%s: %s", encoding, again.Status)
		}
	}
	stale := do(t, http.MethodGet, "/", "If-None-Match", `"0123456789abcdef"`)
	if stale.StatusCode != http.StatusOK {
		t.Errorf("with another version's ETag: %s", stale.Status)
	}
}

func TestAssetsAreCompressedForClientsThatAcceptGzip(t *testing.T) {
	plain := do(t, http.MethodGet, "/")
	want := body(t, plain)
	for _, accept := range []string{"gzip", "br, gzip;q=0.5", "GZIP"} {
		response := do(t, http.MethodGet, "/", "Accept-Encoding", accept)
		expectHeader(t, response, "Content-Encoding", "gzip")
		expectHeader(t, response, "Vary", "Accept-Encoding")
		if response.Header.Get("ETag") == plain.Header.Get("ETag") {
			t.Errorf("%q: the same ETag as without compression", accept)
		}
		reader, err := gzip.NewReader(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(reader); err != nil || string(got) != want {
			t.Errorf("%q: %d bytes, error %v; want the page of %d bytes", accept, len(got), err, len(want))
		}
	}
	for _, accept := range []string{"", "br", "gzip;q=0", "gzip;q=none", "x-gzipped", ";;,"} {
		response := do(t, http.MethodGet, "/", "Accept-Encoding", accept)
		expectHeader(t, response, "Content-Encoding", "")
		if body(t, response) != want {
			t.Errorf("%q: not the page", accept)
		}
	}
}

var reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

func TestEveryAssetOfThePageIsServedAndCachedForEver(t *testing.T) {
	types := map[string]string{
		".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
	}
	references := reference.FindAllStringSubmatch(body(t, do(t, http.MethodGet, "/")), -1)
	if len(references) < len(assetNames) {
		t.Errorf("%d references, fewer than assets", len(references))
	}
	for _, match := range references {
		url := match[1]
		response := do(t, http.MethodGet, url)
		if response.StatusCode != http.StatusOK || body(t, response) == "" {
			t.Errorf("%s: %s", url, response.Status)
		}
		expectHeader(t, response, "Cache-Control", "public, max-age=31536000, immutable")
		expectHeader(t, response, "Content-Type", types[url[strings.LastIndex(url, "."):]])
	}
}

func TestPageLoadsNothingFromOtherHosts(t *testing.T) {
	load := regexp.MustCompile(`(?i)(?:src|href)="?(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import|sourceMappingURL`)
	texts := map[string]string{"page": body(t, do(t, http.MethodGet, "/"))}
	for _, name := range assetNames {
		if strings.HasSuffix(name, ".css") || strings.HasSuffix(name, ".svg") || name == "page.js" {
			texts[name] = string(mustRead(name))
		}
	}
	for name, text := range texts {
		if found := load.FindString(text); found != "" {
			t.Errorf("%s has %q", name, found)
		}
	}
}

func TestPageExplainsTheDemoOnlyInTheDemo(t *testing.T) {
	options := Options{Behaviors: []Behavior{{"slow", "crawls & succeeds"}}}
	for _, demo := range []bool{true, false} {
		options.Demo = demo
		recorder := httptest.NewRecorder()
		Handler(options).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
		for _, text := range []string{"simulated cluster", "<code>slow</code></td><td>crawls &amp; succeeds</td>"} {
			if bytes.Contains(recorder.Body.Bytes(), []byte(text)) != demo {
				t.Errorf("demo %v: wrong about %q", demo, text)
			}
		}
	}
}
