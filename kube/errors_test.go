package kube

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"pullwatch/internal/usererr"
)

// Users cannot read the server's log.
func TestUsersAreToldWhatKubernetesItselfSaid(t *testing.T) {
	jobs := schema.GroupResource{Group: "batch", Resource: "jobs"}
	invalid := func(message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Code: 422, Reason: metav1.StatusReasonInvalid, Message: message}}
	}
	const policy = `jobs.batch "a" is forbidden: ValidatingAdmissionPolicy 'teams' with binding 'teams' denied request: every Job needs the label team`
	const webhook = `failed calling webhook "gone.example": connection refused`
	for name, c := range map[string]struct {
		err   error
		code  usererr.Code
		words string
	}{
		"missing right":        {apierrors.NewForbidden(jobs, "a", errors.New(`User "x" cannot create resource "jobs"`)), usererr.Forbidden, `cannot create resource "jobs"`},
		"quota":                {apierrors.NewForbidden(jobs, "a", errors.New("exceeded quota: q")), usererr.Forbidden, "exceeded quota: q"},
		"policy":               {invalid(policy), usererr.Forbidden, policy},
		"invalid":              {invalid("spec.template: is wrong"), usererr.Internal, "spec.template: is wrong"},
		"webhook that is away": {apierrors.NewInternalError(errors.New(webhook)), usererr.Unavailable, webhook},
		"throttled":            {apierrors.NewTooManyRequests("please try again later", 1), usererr.Unavailable, "please try again later"},
		"no answer":            {errors.New("connection refused"), usererr.Unavailable, "Kubernetes does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			got := userError(fmt.Errorf("x: %w", c.err), "start a pull")
			if got.Code != c.code || !strings.Contains(got.Message, c.words) {
				t.Errorf("%s %q", got.Code, got.Message)
			}
			if answered := name != "no answer"; answered && strings.Contains(got.Message, "does not answer") {
				t.Errorf("it did answer: %q", got.Message)
			}
		})
	}
}
