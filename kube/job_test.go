package kube

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestJobsAreSafeAndBounded(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	id := r.start(t, "nginx:1.27")[0].ID
	job, err := r.client.BatchV1().Jobs(testNamespace).Get(t.Context(), id, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec, pod := job.Spec, job.Spec.Template.Spec
	if *spec.ActiveDeadlineSeconds != 60 || *spec.TTLSecondsAfterFinished != 3600 || len(spec.PodFailurePolicy.Rules) != 2 {
		t.Errorf("%+v", spec)
	}
	if *pod.AutomountServiceAccountToken || pod.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("%+v", pod)
	}
	copier := pod.Containers[0]
	if sc := copier.SecurityContext; !*sc.RunAsNonRoot || !*sc.ReadOnlyRootFilesystem || *sc.AllowPrivilegeEscalation {
		t.Errorf("%+v", sc)
	}
	if args := strings.Join(copier.Args, " "); !strings.HasSuffix(args, "docker.io/library/nginx:1.27 harbor.example/mirror/library/nginx:1.27") {
		t.Errorf("args %s", args)
	}
	if !strings.HasPrefix(id, "nginx-1-27-") || len(id) > 57 {
		t.Errorf("name %s", id)
	}
}

func TestCopiersGetLoginsAndCertificatesOfACompany(t *testing.T) {
	job, err := newJobPrototype(JobSettings{
		Namespace: "pulls", CopierImage: "pullwatch:test", RegistrySecret: "logins", RegistryCA: "company-ca",
		InsecureRegistries: []string{"host:5000"}, AllowPrivateHosts: []string{"minio.test:9000", "10.0.0.5"},
		Deadline: time.Minute, HistoryTTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	pod := job.Spec.Template.Spec
	copier := pod.Containers[0]
	for _, arg := range []string{
		"--insecure-registry=host:5000", "--allow-private-host=minio.test:9000", "--allow-private-host=10.0.0.5", "--registry-ca=/registry-ca",
	} {
		if !slices.Contains(copier.Args, arg) {
			t.Errorf("%q lack %s", copier.Args, arg)
		}
	}
	mounted := map[string]string{}
	for _, mount := range copier.VolumeMounts {
		for _, volume := range pod.Volumes {
			switch {
			case volume.Name != mount.Name:
			case volume.ConfigMap != nil:
				mounted[mount.MountPath] = volume.ConfigMap.Name
			case volume.Secret != nil:
				mounted[mount.MountPath] = volume.Secret.SecretName
			}
		}
	}
	if len(mounted) != 2 || mounted["/registry-ca"] != "company-ca" || mounted["/registry-logins"] != "logins" {
		t.Errorf("mounted %v", mounted)
	}
}

func TestPodsOfPullsAskServiceMeshesForNoSidecarUnlessTheTemplateDoes(t *testing.T) {
	for template, want := range map[string]string{
		"": "false",
		`spec: {template: {metadata: {labels: {sidecar.istio.io/inject: "true"}, annotations: {sidecar.istio.io/inject: "true"}}}}`: "true",
	} {
		settings := JobSettings{Namespace: testNamespace, CopierImage: "pullwatch:test", Deadline: time.Minute}
		if template != "" {
			settings.Template = []byte(template)
		}
		job, err := newJobPrototype(settings)
		if err != nil {
			t.Fatal(err)
		}
		pod := job.Spec.Template
		if pod.Labels["sidecar.istio.io/inject"] != want || pod.Annotations["sidecar.istio.io/inject"] != want || pod.Annotations["linkerd.io/inject"] != "disabled" {
			t.Errorf("with %q: %v %v", template, pod.Labels, pod.Annotations)
		}
		if len(job.Labels) != 1 {
			t.Errorf("the Job has the labels %v", job.Labels)
		}
	}
}
