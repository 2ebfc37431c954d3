package kube

import (
	"context"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"pullwatch/internal/usererr"
)

// errAway ends a mutation while the API server is away.
var errAway = errors.New("the API server does not answer")

// asUserError returns the error that a client sees when Kubernetes did not do something. ctx is one of Health's guard. An error
// that is for users already stays as it is.
func asUserError(ctx context.Context, err error, what string) *usererr.Error {
	if e, ok := errors.AsType[*usererr.Error](err); ok {
		return e
	}
	if errors.Is(context.Cause(ctx), errAway) {
		return unanswered(nil, what) // no cause: Health has logged it once, for all calls
	}
	_, answered := errors.AsType[*apierrors.StatusError](err)
	if health, ok := ctx.Value(healthKey{}).(*Health); ok && !answered && health.isThrottled() {
		return usererr.Wrap(err, usererr.Unavailable, "Kubernetes has too many requests (429), so pullwatch cannot %s; try again in a moment", what)
	}
	return userError(err, what)
}

// userError returns the error that a client sees when the API server did not do something. Its sentence "pullwatch may not …"
// is completed by what.
func userError(err error, what string) *usererr.Error {
	switch {
	case apierrors.IsForbidden(err):
		return usererr.Wrap(err, usererr.Forbidden, "pullwatch may not %s: %s", what, message(err))
	case apierrors.IsUnauthorized(err):
		return usererr.Wrap(err, usererr.Unavailable, "Kubernetes does not accept pullwatch's credentials; ask who runs this server")
	case apierrors.IsNotFound(err):
		return usererr.Wrap(err, usererr.NotFound, "it does not exist, or no longer does: %s", message(err))
	case apierrors.IsConflict(err):
		return usererr.Wrap(err, usererr.Conflict, "somebody else changed it at the same moment; try again")
	case apierrors.IsInvalid(err) && strings.Contains(err.Error(), "denied request"): // an admission policy
		return usererr.Wrap(err, usererr.Forbidden, "Kubernetes refused to %s: %s", what, message(err))
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return usererr.Wrap(err, usererr.Internal, "Kubernetes refused to %s: %s", what, message(err))
	}
	if _, answered := errors.AsType[*apierrors.StatusError](err); answered {
		return usererr.Wrap(err, usererr.Unavailable, "Kubernetes cannot %s now: %s; try again in a moment", what, message(err))
	}
	return unanswered(err, what)
}

// unanswered returns the error that a client sees while Kubernetes does not answer.
func unanswered(cause error, what string) *usererr.Error {
	return usererr.Wrap(cause, usererr.Unavailable, "Kubernetes does not answer, so pullwatch cannot %s; try again in a moment", what)
}

// message returns what the API server itself said.
func message(err error) string {
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return status.Status().Message
	}
	return err.Error()
}
