package mirror

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

// message returns the message for people: the registry, what says says of it, the registry's own words, and the request. The
// request stands at its end and is never cut off.
func (e *sideError) message(says string) string {
	message := fmt.Sprintf("The %s %s: %s", e.side.name(), says, e.side.said(e.err))
	request := e.request()
	if request != "" {
		request = " (" + request + ")"
	}
	return pull.Truncate(message, pull.MaxFailureMessage-len(request)) + request
}

// said returns the innermost words of an error, on one line. It leaves out request URLs: they repeat what the message says, and
// may hold signatures. Of another host than the registry it returns only the status and the host's name.
func (s side) said(err error) string {
	if answer, ok := errors.AsType[*transport.Error](err); ok {
		words := wordsOf(answer)
		if answer.Request != nil && !strings.EqualFold(familiar(answer.Request.URL.Host), s.registry) {
			words += " from " + answer.Request.URL.Host
		}
		return words
	}
	if broken, ok := errors.AsType[*url.Error](err); ok {
		err = broken.Err
	}
	if forbidden, ok := errors.AsType[*addressError](err); ok {
		err = forbidden
	}
	return oneLine(err.Error())
}

// wordsOf returns the words of a registry's answer, without HTML: the errors of the distribution specification if it has any,
// else its status and its body.
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

// bodyOf returns the body of an answer that is not in the form of the specification. The library has it only at the end of its
// error's text.
func bodyOf(answer *transport.Error) string {
	bare := *answer
	bare.Request = nil
	_, body, _ := strings.Cut(bare.Error(), fmt.Sprintf("unexpected status code %d %s: ", answer.StatusCode, http.StatusText(answer.StatusCode)))
	return body
}

var (
	page = regexp.MustCompile(`(?i)<(?:!doctype|html|head|body|title|center|h1|p|b|pre)\b`)
	// unseen matches the parts of a page that a browser does not show, or shows a second time.
	unseen = regexp.MustCompile(`(?is)<!--.*?-->|<(head|script|style)\b.*?</(?:head|script|style)\s*>`)
	tag    = regexp.MustCompile(`(?s)<[^<>]*>`)
)

// withoutHTML returns the text of an HTML page on one line. What is no page stays as it is.
func withoutHTML(body string) string {
	if !page.MatchString(body) {
		return oneLine(body)
	}
	if text := oneLine(html.UnescapeString(tag.ReplaceAllString(unseen.ReplaceAllString(body, " "), " "))); text != "" {
		return text
	}
	return oneLine(html.UnescapeString(tag.ReplaceAllString(body, " ")))
}

// request returns the method of the request that failed and what it was for, such as "GET blob sha256:…", as far as is known. It
// never has a query, which may hold a signature.
func (e *sideError) request() string {
	method, path := "", ""
	if answer, ok := errors.AsType[*transport.Error](e.err); ok && answer.Request != nil {
		first := firstOf(answer.Request)
		method, path = first.Method, first.URL.Path
	} else if broken, ok := errors.AsType[*url.Error](e.err); ok {
		method = strings.ToUpper(broken.Op)
		// The path at another host says nothing to a person.
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

// partOf returns the part of an image that a request's path names, on one line and in at most a few hundred bytes. A registry can
// redirect to any path.
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
