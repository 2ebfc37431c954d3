package mirror

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

func TestMessagesSayWhatToDo(t *testing.T) {
	from := side{role: "source", registry: "r.test", image: "r.test/a:1"}
	to := side{role: "destination", registry: "d.test", image: "d.test/a", login: "d.test"}
	digest := "sha256:" + strings.Repeat("ab", 32)
	answered := func(s side, method, url string, code int, body string) error {
		req, err := http.NewRequest(method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.blame(transport.CheckError(&http.Response{StatusCode: code, Request: req, Body: io.NopCloser(strings.NewReader(body))}, 0))
	}
	for title, test := range map[string]struct {
		err  error
		want string
	}{
		"missing layer": {answered(from, "GET", "https://r.test/v2/a/blobs/"+digest, 404, `{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}`),
			"The source registry r.test does not have a part of r.test/a:1: BLOB_UNKNOWN: blob unknown (GET blob " + digest + ")"},
		"missing child": {answered(from, "GET", "https://r.test/v2/a/manifests/"+digest, 404, ""),
			"The source registry r.test does not have a part of r.test/a:1: 404 Not Found (GET manifest " + digest + ")"},
		"missing image": {answered(from, "GET", "https://r.test/v2/a/manifests/1", 404, ""),
			"The source registry r.test does not have r.test/a:1: 404 Not Found (GET manifest 1)"},
		"missing repository at the destination": {answered(to, "POST", "https://d.test/v2/a/blobs/uploads/", 404, `{"errors":[{"code":"NAME_UNKNOWN","message":"no repository a"}]}`),
			"The destination registry d.test does not have the project or repository for d.test/a: create it there: NAME_UNKNOWN: no repository a (POST)"},
		"push denied": {answered(to, "PUT", "https://d.test/v2/a/manifests/1", 403, `{"errors":[{"code":"DENIED","message":"no push"}]}`),
			`The destination registry d.test does not accept d.test/a with the login "d.test", or has no such project or repository: DENIED: no push (PUT manifest 1)`},
		"a proxy's page": {answered(to, "PATCH", "https://d.test/upload?signature=secret", 413, "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center></body></html>"),
			"The destination registry d.test or a proxy in front of it does not take requests of this size; raise the limit there " +
				"(client_max_body_size in nginx): 413 Request Entity Too Large (PATCH)"},
		"a page with only a title": {answered(to, "PUT", "https://d.test/up", 400, "<HTML><title>Bad &amp; worse</title></HTML>"),
			"The destination registry d.test rejects d.test/a: 400 Bad Request: Bad & worse (PUT)"},
		"a path of the registry's own": {answered(from, "GET", "https://r.test/v2/a/manifests/"+strings.Repeat("x", 3000)+"%0A", 400, ""),
			"The source registry r.test rejects r.test/a:1: 400 Bad Request (GET manifest " + strings.Repeat("x", 200) + ")"},
		"a blob's path of two lines": {answered(from, "GET", "https://r.test/v2/a/blobs/x%0Ay", 400, ""),
			"The source registry r.test rejects r.test/a:1: 400 Bad Request (GET blob x y)"},
		"words with an angle": {answered(from, "GET", "https://r.test/v2/a/manifests/1", 400, "1 < 2 and <none> is > 0"),
			"The source registry r.test rejects r.test/a:1: 400 Bad Request: 1 < 2 and <none> is > 0 (GET manifest 1)"},
		"no connection": {from.blame(&url.Error{Op: "Get", URL: "https://r.test/v2/a/blobs/" + digest + "?x=secret", Err: syscall.ECONNRESET}),
			"The source registry r.test cannot be reached: connection reset by peer (GET blob " + digest + ")"},
		"no connection elsewhere": {from.blame(&url.Error{Op: "Get", URL: "https://cdn.test/secret/blobs/x", Err: syscall.ECONNRESET}),
			"The source registry r.test cannot be reached: connection reset by peer (GET)"},
	} {
		t.Run(title, func(t *testing.T) {
			if got := classify(test.err).message; got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestTheMessageNamesCapitalLettersInARepository(t *testing.T) {
	for reference, word := range map[string]string{
		"r.test/Team/App:V1": "r.test/team/app:V1",
		"r.test:5000/App":    "r.test:5000/app",
		"r.test/App@" + "sha256:" + strings.Repeat("0", 64): "r.test/app@sha256:",
	} {
		_, err := parseReference(reference)
		if err == nil || !strings.Contains(err.Error(), "no capital letters; "+word) {
			t.Errorf("%s: %v", reference, err)
		}
	}
	if _, err := parseReference("r.test/a b"); err == nil || strings.Contains(err.Error(), "capital") {
		t.Errorf("%v", err)
	}
}

func TestDockerHubIsCalledByItsName(t *testing.T) {
	ref, err := parseReference("nginx")
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := newSide("source", ref.Name(), ref.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := classify(s.blame(&transport.Error{StatusCode: http.StatusUnauthorized})).message
	want := "The source registry docker.io does not give docker.io/library/nginx:latest without credentials, " +
		"or does not have it: "
	if !strings.HasPrefix(got, want) {
		t.Errorf("message %q, want %q…", got, want)
	}
}
