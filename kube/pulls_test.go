package kube

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

func (r *replica) jobNames(t *testing.T) []string {
	t.Helper()
	list, err := r.client.BatchV1().Jobs(testNamespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, job := range list.Items {
		names = append(names, job.Name)
	}
	return names
}

func TestMutationsAreUnavailableWhileKubernetesIsAway(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	id := r.start(t, "nginx")[0].ID
	r.refuse.on.Store(true)
	results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"redis"}})
	if err != nil || results[0].Error == nil || results[0].Error.Code != usererr.Unavailable {
		t.Errorf("start: %+v, %v", results, err)
	}
	if _, err := r.pulls.Cancel(t.Context(), id); usererr.CodeOf(err) != usererr.Unavailable || strings.Contains(err.(*usererr.Error).Message, "refused") {
		t.Errorf("cancel: %v", err)
	}
}
