package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"pullwatch/internal/pull"
)

// classify returns the failure that an error of a copy stands for. What a registry answered is judged in answer.go, and the
// message is made in message.go.
func classify(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	blamed, ok := errors.AsType[*sideError](err)
	switch {
	case ok:
		v := judge(blamed)
		return &failure{reason: v.reason, permanent: v.permanent, again: v.again, side: blamed.side.role, message: blamed.message(v.says)}
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

// judge returns the verdict on an error of one side.
func judge(e *sideError) verdict {
	if answer, ok := errors.AsType[*transport.Error](e.err); ok {
		return judgeAnswer(e, answer)
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
