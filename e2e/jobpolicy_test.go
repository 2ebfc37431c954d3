package e2e

import (
	"fmt"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// playedBy is the controller of Jobs that Kubernetes' own leaves alone.
const playedBy = "pullwatch.example/e2e"

// keepFromController has the API server put playedBy on every new Job of a namespace, so that Kubernetes starts no pods for
// them.
func keepFromController(t *testing.T, client *kubernetes.Clientset, namespace string) {
	t.Helper()
	change(t, client, namespace, jobKind, admissionv1.Create, merged(fmt.Sprintf(`Object{spec: Object.spec{managedBy: %q}}`, playedBy)))
	probe := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
	probe.Spec.Template.Spec = corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "probe", Image: env.app}},
	}
	eventually(t, "the API server heeds the policy", func() bool {
		dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
		job, err := client.BatchV1().Jobs(namespace).Create(t.Context(), probe, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		return job.Spec.ManagedBy != nil && *job.Spec.ManagedBy == playedBy
	})
}
