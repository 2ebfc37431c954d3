package mirror

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

// partError is an error about one part of an image: a blob, or a manifest of an index. That the image has it is known
// from what the source has given already.
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// inContext changes a verdict on an answer by what was going on: the same status can be for good or pass.
func inContext(e *sideError, v verdict) verdict {
	answer, ok := errors.AsType[*transport.Error](e.err)
	if !ok {
		return v
	}
	part, ofPart := errors.AsType[*partError](e.err)
	host := ""
	if answer.Request != nil {
		host = answer.Request.URL.Host
	}
	switch {
	case answer.StatusCode >= http.StatusInternalServerError && v.permanent:
		// Whatever the words are: a server that fails can work again.
		v.permanent, v.again = false, true
	case isA[*lapsedError](e.err):
		v.permanent, v.again = false, true
		v.says = "no longer accepts the login that it took before"
	case e.side.role == "destination" && readOnly(e.side, answer):
		v = verdict{reason: pull.Unknown, says: "takes nothing at the moment: it is read-only"}
	case ofPart && v.reason == pull.NotFound && e.side.role == "destination" && len(answer.Errors) == 0 &&
		answer.Request != nil && continuesUpload(firstOf(answer.Request)):
		// The registry had begun the upload: what is not found is that, and not the repository.
		v = verdict{reason: pull.Unknown, says: "lost what had been uploaded"}
	case ofPart && v.reason == pull.NotFound && e.side.role == "source":
		// A registry that fetches images on demand can have a part later than what names it.
		v.again = true
		v.says = fmt.Sprintf("does not have the %s of %s", part.part, e.side.image)
	case ofPart && v.reason == pull.Unauthorized && host != "" && !strings.EqualFold(familiar(host), e.side.registry):
		// The registry let the blob's storage be asked; a link to it is good for minutes only.
		v.permanent, v.again = false, true
	}
	if wait := retryAfter(answer); wait > maxRetryAfter {
		v.says += fmt.Sprintf(", and asks to wait %s, longer than a copy does", wait)
	}
	return v
}

func continuesUpload(first *http.Request) bool {
	return (first.Method == http.MethodPatch || first.Method == http.MethodPut) && !strings.Contains(first.URL.Path, "/manifests/")
}

// readOnly reports whether a registry refuses because it takes no writes for some time, as while it collects garbage.
// There is no code for it: Harbor says so in words, the reference registry has then no such method.
func readOnly(s side, answer *transport.Error) bool {
	if answer.StatusCode == http.StatusMethodNotAllowed && len(answer.Errors) == 0 &&
		answer.Request != nil && answer.Request.Method == http.MethodPost {
		return true
	}
	for _, d := range answer.Errors {
		// Names may hold any word.
		words := strings.ToLower(strings.ReplaceAll(d.Message, strings.TrimPrefix(s.image, s.registry+"/"), ""))
		words = strings.NewReplacer("-", " ", "readonly", "read only").Replace(words)
		if strings.Contains(words, "read only mode") || strings.Contains(words, "is read only") || strings.Contains(words, "in read only") {
			return true
		}
	}
	return false
}
