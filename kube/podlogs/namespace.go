package podlogs

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/usererr"
)

// namespaceTimeout bounds the request for a namespace, for which a new stream waits.
const namespaceTimeout = 2 * time.Second

// requireNamespace returns NOT_FOUND when the lists were empty because the namespace does not exist. If the request for the
// namespace is forbidden or fails, it returns nil.
func (w *targetWatch) requireNamespace(ctx context.Context) error {
	w.mu.Lock()
	found := len(w.pods) > 0 || w.job.uid != ""
	w.mu.Unlock()
	if found {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	name := w.target.Namespace
	if _, err := w.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); isMissing(err, "namespaces", name) {
		return usererr.New(usererr.NotFound, "there is no namespace %s", name)
	}
	return nil
}
