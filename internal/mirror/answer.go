package mirror

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

// statusClientClosed is nginx's status for a client that has gone. A proxy in front of another one can pass it on, though the
// copier is still there.
const statusClientClosed = 499

// judgeAnswer returns the verdict on a registry's refusal. What was asked for counts, too: with the same status, one refusal
// stays and another one passes.
func judgeAnswer(e *sideError, answer *transport.Error) verdict {
	v := judgeStatus(e.side, answer)
	part, ofPart := errors.AsType[*partError](e.err)
	host := ""
	if answer.Request != nil {
		host = answer.Request.URL.Host
	}
	switch {
	case answer.StatusCode >= http.StatusInternalServerError && v.permanent:
		// A server that fails can work again, whatever it says.
		v.permanent, v.again = false, true
	case isA[*lapsedError](e.err):
		v.permanent, v.again = false, true
		v.says = "no longer accepts the login that it took before"
	case e.side.role == pull.DestinationSide && readOnly(e.side, answer):
		v = verdict{reason: pull.Unknown, says: "takes nothing at the moment: it is read-only"}
	case ofPart && v.reason == pull.NotFound && e.side.role == pull.DestinationSide && len(answer.Errors) == 0 &&
		answer.Request != nil && continuesUpload(firstOf(answer.Request)):
		// The registry had begun the upload, so it has the repository. What it does not find is the upload.
		v = verdict{reason: pull.Unknown, says: "lost what had been uploaded"}
	case ofPart && v.reason == pull.NotFound && e.side.role == pull.SourceSide:
		// A registry that fetches images on demand can have a manifest before it has the parts.
		v.again = true
		v.says = fmt.Sprintf("does not have the %s of %s", part.part, e.side.image)
	case ofPart && v.reason == pull.Unauthorized && host != "" && !strings.EqualFold(familiar(host), e.side.registry):
		// The registry redirected to the blob's storage, by a link that is valid for minutes only. The next link may do.
		v.permanent, v.again = false, true
	}
	if wait := retryAfter(answer); wait > maxRetryAfter {
		v.says += fmt.Sprintf(", and asks to wait %s, longer than a copy does", wait)
	}
	return v
}

// judgeStatus returns the verdict on a refusal by its status and its error codes alone.
func judgeStatus(s side, answer *transport.Error) verdict {
	status := answer.StatusCode
	has := func(codes ...transport.ErrorCode) bool {
		return slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool { return slices.Contains(codes, d.Code) })
	}
	switch {
	case status == http.StatusTooManyRequests, has(transport.TooManyRequestsErrorCode):
		return verdict{reason: pull.RateLimited, says: "limits how often it may be asked"}
	case outOfSpace(s, answer):
		return verdict{reason: pull.DiskFull, says: "has no space left"}
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		has(transport.UnauthorizedErrorCode, transport.DeniedErrorCode):
		return verdict{reason: pull.Unauthorized, permanent: true, says: s.refusal()}
	case s.role == pull.DestinationSide && has(transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode,
		transport.BlobUnknownErrorCode, transport.ManifestBlobUnknownErrorCode, transport.ManifestUnknownErrorCode):
		return verdict{reason: pull.Unknown, says: "lost what had been uploaded"}
	case has(transport.DigestInvalidErrorCode, transport.SizeInvalidErrorCode):
		return verdict{reason: pull.Invalid, permanent: true, again: true, says: "received something else than was sent"}
	case status == http.StatusNotFound, has(transport.NameUnknownErrorCode, transport.ManifestUnknownErrorCode,
		transport.BlobUnknownErrorCode):
		return verdict{reason: pull.NotFound, permanent: true, says: s.absence(answer)}
	case status == http.StatusRequestEntityTooLarge && s.role == pull.DestinationSide:
		return verdict{reason: pull.Invalid, permanent: true,
			says: "or a proxy in front of it does not take requests of this size; raise the limit there (client_max_body_size in nginx)"}
	case status == http.StatusRequestTimeout:
		return verdict{reason: pull.Timeout, says: "gave up waiting"}
	case status == statusClientClosed:
		return verdict{reason: pull.Network, says: "broke off the connection"}
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout,
		has(transport.UnavailableErrorCode):
		return verdict{reason: pull.Network, says: "is not available"}
	case status >= http.StatusInternalServerError:
		return verdict{reason: pull.Unknown, says: "failed"}
	default:
		return verdict{reason: pull.Invalid, permanent: true, says: "rejects " + s.image}
	}
}

func continuesUpload(first *http.Request) bool {
	return (first.Method == http.MethodPatch || first.Method == http.MethodPut) && !strings.Contains(first.URL.Path, "/manifests/")
}

// readOnly reports whether a registry refuses because it takes no writes for some time, as while it collects garbage. There is
// no error code for that. Harbor says it in words, the reference registry with status 405.
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

// refusal says that access was denied. Many registries also answer so for what does not exist, to hide it from strangers.
func (s side) refusal() string {
	who := s.who()
	if s.role == pull.DestinationSide {
		return fmt.Sprintf("does not accept %s %s, or has no such project or repository", s.image, who)
	}
	return fmt.Sprintf("does not give %s %s, or does not have it", s.image, who)
}

// absence says that something was not found. At a destination that is the repository.
func (s side) absence(answer *transport.Error) string {
	if s.role == pull.DestinationSide {
		return fmt.Sprintf("does not have the project or repository for %s: create it there", s.image)
	}
	if answer.Request != nil {
		what, reference, _ := strings.Cut(partOf(firstOf(answer.Request).URL.Path), " ")
		if what == "blob" || (strings.Contains(reference, ":") && !strings.HasSuffix(s.image, reference)) {
			return "does not have a part of " + s.image
		}
	}
	return "does not have " + s.image
}

// full matches the words of registries that have no space left, for which the specification has no code. Harbor answers 403 or
// 412 when a project's quota is used up, the reference registry 500 with the words of its file system.
var full = regexp.MustCompile(`no space left on device|insufficient storage|` +
	`\bquota\b[^.;]{0,60}\b(?:exceed\w*|reached|used up|is full)\b|\bexceed\w*\b[^.;]{0,60}\b(?:quota|upper limit|storage limit)\b`)

// outOfSpace reports whether an answer says that there is no space left. A source says so only with a status of 500 or more. An
// error code that means something else counts more than any words.
func outOfSpace(s side, answer *transport.Error) bool {
	status := answer.StatusCode
	if status == http.StatusInsufficientStorage {
		return true
	}
	if status == http.StatusUnauthorized || status == http.StatusNotFound || status == http.StatusMethodNotAllowed ||
		(status < http.StatusInternalServerError && s.role != pull.DestinationSide) || status < http.StatusBadRequest {
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
