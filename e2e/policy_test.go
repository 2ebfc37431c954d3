package e2e

import (
	"context"
	"fmt"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// The kinds of objects that policies of tests are about.
var (
	jobKind = admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}}
	podKind = admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}}
)

// operationsOn matches an operation on a namespace's objects of a kind.
func operationsOn(namespace string, kind admissionv1.Rule, operation admissionv1.OperationType) *admissionv1.MatchResources {
	return &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{operation}, Rule: kind,
		}}},
	}
}

// deny has the API server deny an operation on a namespace's objects of a kind whose name begins with prefix, until the function that
// it returns is called. The API server heeds it some moments later. A namespace has one such policy.
func deny(t *testing.T, namespace string, kind admissionv1.Rule, operation admissionv1.OperationType, prefix, why string) (allow func()) {
	t.Helper()
	object := "object"
	if operation == admissionv1.Delete {
		object = "oldObject"
	}
	policies, bindings := env.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies(), env.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	_, err := policies.Create(t.Context(), &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: operationsOn(namespace, kind, operation),
			Validations:      []admissionv1.Validation{{Expression: fmt.Sprintf("!%s.metadata.name.startsWith(%q)", object, prefix), Message: why}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	remove := removed(t, "policy", func(ctx context.Context) error { return policies.Delete(ctx, namespace, metav1.DeleteOptions{}) })
	_, err = bindings.Create(t.Context(), &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unbind := removed(t, "binding", func(ctx context.Context) error { return bindings.Delete(ctx, namespace, metav1.DeleteOptions{}) })
	return func() { unbind(); remove() }
}

// merged is a mutation that merges an object, given in CEL, into another one.
func merged(object string) admissionv1.Mutation {
	return admissionv1.Mutation{
		PatchType:          admissionv1.PatchTypeApplyConfiguration,
		ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: object},
	}
}

// change has the API server change a namespace's objects of a kind at an operation, until the function that it returns is called. The
// API server heeds it some moments later. A namespace has one such policy. It needs Kubernetes 1.36.
func change(
	t *testing.T, client *kubernetes.Clientset, namespace string, kind admissionv1.Rule, operation admissionv1.OperationType, mutation admissionv1.Mutation,
) (stop func()) {
	t.Helper()
	policies, bindings := client.AdmissionregistrationV1().MutatingAdmissionPolicies(), client.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	_, err := policies.Create(t.Context(), &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			MatchConstraints:   operationsOn(namespace, kind, operation),
			Mutations:          []admissionv1.Mutation{mutation},
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	remove := removed(t, "policy", func(ctx context.Context) error { return policies.Delete(ctx, namespace, metav1.DeleteOptions{}) })
	_, err = bindings.Create(t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: namespace},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	unbind := removed(t, "binding", func(ctx context.Context) error { return bindings.Delete(ctx, namespace, metav1.DeleteOptions{}) })
	return func() { unbind(); remove() }
}

// removed returns a function that deletes what the test has made. The test calls it at the latest as it ends.
func removed(t *testing.T, what string, remove func(context.Context) error) func() {
	t.Helper()
	f := func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := remove(ctx); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("delete the %s: %v", what, err)
		}
	}
	t.Cleanup(f)
	return f
}
