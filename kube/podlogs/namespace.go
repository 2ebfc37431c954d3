package podlogs

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/usererr"
)

// namespaceTimeout bounds the request for a namespace, for which a new stream waits.
const namespaceTimeout = 2 * time.Second

// requireNamespace returns NOT_FOUND when the lists were empty because the namespace does not exist. If the request for the
// namespace is forbidden or fails, it returns nil.
func (w *targetWatch) requireNamespace(ctx context.Context) error {
	w.mu.Lock()
	found := len(w.pods) > 0 || w.job.uid != "" || w.target.Workload.Kind != ""
	w.mu.Unlock()
	if found {
		return nil
	}
	if _, err := w.namespace(ctx); isMissing(err, "namespaces", w.target.Namespace) {
		return usererr.New(usererr.NotFound, "there is no namespace %s", w.target.Namespace)
	}
	return nil
}

func (w *targetWatch) namespace(ctx context.Context) (*corev1.Namespace, error) {
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	return w.client.CoreV1().Namespaces().Get(ctx, w.target.Namespace, metav1.GetOptions{})
}

// whyLost says, for people, why a selector that had pods has none.
func (w *targetWatch) whyLost(ctx context.Context) string {
	t := w.target
	switch namespace, err := w.namespace(ctx); {
	case isMissing(err, "namespaces", t.Namespace):
		return fmt.Sprintf("namespace %s does not exist any more", t.Namespace)
	case err == nil && namespace.DeletionTimestamp != nil:
		return fmt.Sprintf("namespace %s is being deleted", t.Namespace)
	default:
		return w.noPods() + " any more"
	}
}
