package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

// failure is an error that has been understood.
type failure struct {
	reason pull.FailureReason
	// message is one sentence for people: which side failed and how, and what the registry said.
	message string
	// permanent means that no later attempt, by another pod, will succeed.
	permanent bool
	// again means that another try within this attempt may help all the same. It is read only if permanent is set.
	again bool
}

func (f *failure) Error() string { return f.message }

// verdict is what an error amounts to, whichever registry it came from.
type verdict struct {
	reason    pull.FailureReason
	permanent bool
	again     bool
	// says is the sentence's middle, between the name of the registry and what was said.
	says string
}

// classify understands every error of a copy.
func classify(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	blamed, ok := errors.AsType[*sideError](err)
	switch {
	case ok:
		v := inContext(blamed, judge(blamed))
		return &failure{reason: v.reason, permanent: v.permanent, again: v.again,
			message: blamed.tell(v.says)}
	case errors.Is(err, context.Canceled):
		return &failure{reason: pull.Unknown,
			message: "Stopped before the copy was complete; what has arrived is not copied again"}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{reason: pull.Timeout,
			message: "The copy did not finish in the time that it was given; what has arrived is not copied again"}
	default:
		return &failure{reason: pull.Unknown, message: sentence(err.Error())}
	}
}

func judge(e *sideError) verdict {
	if answer, ok := errors.AsType[*transport.Error](e.err); ok {
		return judgeAnswer(e.side, answer)
	}
	switch err := e.err; {
	case isA[*addressError](err):
		return verdict{reason: pull.Invalid, permanent: true, says: "sends to where it may not"}
	case isA[*proxyError](err):
		return verdict{reason: pull.Network, says: "cannot be reached"}
	case errors.Is(err, errNoPlatform):
		return verdict{reason: pull.NoPlatform, permanent: true, says: "has nothing to copy in " + e.side.image}
	case isA[*platformError](err):
		return verdict{reason: pull.NoPlatform, permanent: true, says: "does not have " + e.side.image + " for every platform that was asked for"}
	case errors.Is(err, errTooLarge), isA[*unsupportedError](err):
		return verdict{reason: pull.Invalid, permanent: true,
			says: "has " + e.side.image + " in a form that cannot be copied"}
	case errors.Is(err, http.ErrSchemeMismatch):
		return verdict{reason: pull.TLS, permanent: true,
			says: "speaks plain HTTP, which only --insecure-registry=" + e.side.registry + " allows"}
	case isA[*tls.CertificateVerificationError](err),
		isA[x509.UnknownAuthorityError](err), isA[x509.HostnameError](err), isA[x509.CertificateInvalidError](err),
		isA[tls.RecordHeaderError](err), isA[tls.AlertError](err):
		return verdict{reason: pull.TLS, permanent: true, says: "cannot be spoken to securely"}
	case isA[*stallError](err), errors.Is(err, context.DeadlineExceeded):
		return verdict{reason: pull.Timeout, says: "stopped answering"}
	case errors.Is(err, syscall.ENOSPC):
		return verdict{reason: pull.DiskFull, says: "cannot be copied from or to"}
	case isA[*net.OpError](err), isA[*net.DNSError](err), isA[syscall.Errno](err):
		return verdict{reason: pull.Network, says: "cannot be reached"}
	case isA[*plainHTTPError](err):
		return verdict{reason: pull.TLS, permanent: true, says: "cannot be spoken to securely"}
	case isA[*tokenError](err):
		return verdict{reason: pull.Invalid, permanent: true, again: true, says: "gives no access"}
	case isA[*url.Error](err), isA[*readError](err), isA[net.Error](err), errors.Is(err, io.ErrUnexpectedEOF):
		return verdict{reason: pull.Network, says: "broke off the connection"}
	default:
		// Not the network and not a refusal: an answer that cannot be right, such as content with another digest.
		// A proxy in between may have spoilt it, so it is asked again, but not for ever.
		return verdict{reason: pull.Invalid, permanent: true, again: true, says: "answered with something wrong"}
	}
}

// statusClientClosed is how nginx notes that whoever asked has gone. A proxy in front of another one can pass it on, though
// the copier is still there.
const statusClientClosed = 499

// judgeAnswer understands an answer that says no.
func judgeAnswer(s side, answer *transport.Error) verdict {
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
	case s.role == "destination" && has(transport.BlobUploadUnknownErrorCode, transport.BlobUploadInvalidErrorCode,
		transport.BlobUnknownErrorCode, transport.ManifestBlobUnknownErrorCode, transport.ManifestUnknownErrorCode):
		return verdict{reason: pull.Unknown, says: "lost what had been uploaded"}
	case has(transport.DigestInvalidErrorCode, transport.SizeInvalidErrorCode):
		return verdict{reason: pull.Invalid, permanent: true, again: true, says: "received something else than was sent"}
	case status == http.StatusNotFound, has(transport.NameUnknownErrorCode, transport.ManifestUnknownErrorCode,
		transport.BlobUnknownErrorCode):
		return verdict{reason: pull.NotFound, permanent: true, says: s.absence(answer)}
	case status == http.StatusRequestEntityTooLarge && s.role == "destination":
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

// refusal says that access was denied. Many registries answer so for what does not exist, too, lest strangers find out.
func (s side) refusal() string {
	who := s.who()
	if s.role == "destination" {
		return fmt.Sprintf("does not accept %s %s, or has no such project or repository", s.image, who)
	}
	return fmt.Sprintf("does not give %s %s, or does not have it", s.image, who)
}

// absence says that something was not found. What a destination lacks is where to put the image.
func (s side) absence(answer *transport.Error) string {
	if s.role == "destination" {
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

// tell returns the message for people. The request stands at its end and is never cut off.
func (e *sideError) tell(says string) string {
	message := fmt.Sprintf("The %s %s: %s", e.side.name(), says, e.side.said(e.err))
	request := e.request()
	if request != "" {
		request = " (" + request + ")"
	}
	return pull.Truncate(message, pull.MaxFailureMessage-len(request)) + request
}

// said returns the innermost words of an error, on one line: request URLs are left out, which repeat what the message
// says already and may hold signatures. Of a host that is not the registry there is only the status, and its name is
// said.
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

func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
}

// sentence returns s on one line and with a capital letter.
func sentence(s string) string {
	s = pull.Truncate(oneLine(s), pull.MaxFailureMessage)
	return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):]
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
