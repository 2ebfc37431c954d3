package mirror

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

// wordsOf returns what a registry's answer says for people, without HTML: the errors of the distribution specification
// if it has any, else its status and its body.
func wordsOf(answer *transport.Error) string {
	var said []string
	for _, d := range answer.Errors {
		words := strings.TrimPrefix(d.String(), ": ")
		said = append(said, withoutHTML(words))
	}
	if len(said) > 0 {
		return oneLine(strings.Join(said, "; "))
	}
	status := oneLine(fmt.Sprintf("%d %s", answer.StatusCode, http.StatusText(answer.StatusCode)))
	body := withoutHTML(bodyOf(answer))
	if body == "" || strings.HasPrefix(body, status) {
		return status
	}
	return status + ": " + body
}

// bodyOf returns the body of an answer that is not in the form of the specification. The library tells it only as the
// end of its error.
func bodyOf(answer *transport.Error) string {
	bare := *answer
	bare.Request = nil
	_, body, _ := strings.Cut(bare.Error(), fmt.Sprintf("unexpected status code %d %s: ", answer.StatusCode, http.StatusText(answer.StatusCode)))
	return body
}

var (
	page = regexp.MustCompile(`(?i)<(?:!doctype|html|head|body|title|center|h1|p|b|pre)\b`)
	// unseen is what of a page is not shown, or shown a second time.
	unseen = regexp.MustCompile(`(?is)<!--.*?-->|<(head|script|style)\b.*?</(?:head|script|style)\s*>`)
	tag    = regexp.MustCompile(`(?s)<[^<>]*>`)
)

// withoutHTML returns the text of a page, and what is no page as it is; on one line.
func withoutHTML(body string) string {
	if !page.MatchString(body) {
		return oneLine(body)
	}
	if text := oneLine(html.UnescapeString(tag.ReplaceAllString(unseen.ReplaceAllString(body, " "), " "))); text != "" {
		return text
	}
	return oneLine(html.UnescapeString(tag.ReplaceAllString(body, " ")))
}

// full is how registries say that there is no space left, for which the specification has no code: Harbor with 403 or
// 412 when a project's quota is used up, the reference registry with 500 and the words of its file system.
var full = regexp.MustCompile(`no space left on device|insufficient storage|` +
	`\bquota\b[^.;]{0,60}\b(?:exceed\w*|reached|used up|is full)\b|\bexceed\w*\b[^.;]{0,60}\b(?:quota|upper limit|storage limit)\b`)

// outOfSpace reports whether an answer says that there is no space left. Only a destination runs out of it, and servers
// that fail. A code that means something else outweighs all words.
func outOfSpace(s side, answer *transport.Error) bool {
	status := answer.StatusCode
	if status == http.StatusInsufficientStorage {
		return true
	}
	if status == http.StatusUnauthorized || status == http.StatusNotFound || status == http.StatusMethodNotAllowed ||
		(status < http.StatusInternalServerError && s.role != "destination") || status < http.StatusBadRequest {
		return false
	}
	if len(answer.Errors) == 0 {
		return full.MatchString(pull.WithoutNames(bodyOf(answer)))
	}
	for _, d := range answer.Errors {
		switch d.Code {
		case transport.BlobUnknownErrorCode, transport.BlobUploadUnknownErrorCode, transport.DigestInvalidErrorCode,
			transport.ManifestBlobUnknownErrorCode, transport.ManifestInvalidErrorCode, transport.ManifestUnknownErrorCode,
			transport.ManifestUnverifiedErrorCode, transport.NameInvalidErrorCode, transport.NameUnknownErrorCode,
			transport.SizeInvalidErrorCode, transport.TagInvalidErrorCode, transport.UnsupportedErrorCode:
			continue
		}
		detail, _ := d.Detail.(string)
		if strings.Contains(strings.ToUpper(string(d.Code)), "QUOTA") || isFullDisk(d.Detail) ||
			full.MatchString(pull.WithoutNames(d.Message+"; "+detail)) {
			return true
		}
	}
	return false
}

// isFullDisk reports whether an error's detail is that of the reference registry's file system, by its number.
func isFullDisk(detail any) bool {
	driver, _ := detail.(map[string]any)
	enclosed, _ := driver["Enclosed"].(map[string]any)
	number, ok := enclosed["Err"].(float64)
	return ok && syscall.Errno(number) == syscall.ENOSPC
}

// request returns the request that failed and what it was for, "GET blob sha256:…", as far as is known. It never has a
// query, which may hold a signature.
func (e *sideError) request() string {
	method, path := "", ""
	if answer, ok := errors.AsType[*transport.Error](e.err); ok && answer.Request != nil {
		first := firstOf(answer.Request)
		method, path = first.Method, first.URL.Path
	} else if broken, ok := errors.AsType[*url.Error](e.err); ok {
		method = strings.ToUpper(broken.Op)
		// Elsewhere, a path tells nothing that a person knows.
		if asked, err := url.Parse(broken.URL); err == nil && strings.EqualFold(familiar(asked.Host), e.side.registry) {
			path = asked.Path
		}
	}
	what := partOf(path)
	if part, ok := errors.AsType[*partError](e.err); ok && what == "" {
		what = part.part
	}
	return strings.TrimSpace(method + " " + what)
}

// partOf returns what of an image a request's path names, in at most a few hundred bytes and on one line: a registry
// can have any path asked for.
func partOf(path string) string {
	const longest = 200
	if _, reference, ok := strings.Cut(path, "/manifests/"); ok {
		return "manifest " + pull.Truncate(oneLine(reference), longest)
	}
	if _, digest, ok := strings.Cut(path, "/blobs/"); ok && !strings.HasPrefix(digest, "uploads/") {
		return "blob " + pull.Truncate(oneLine(digest), longest)
	}
	return ""
}
