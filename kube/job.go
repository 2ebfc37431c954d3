package kube

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// Labels of the Jobs that pullwatch makes and of their pods. Annotations are in pullstate.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "pullwatch"
	// labelKey is the same for all pulls of one route.
	labelKey = pullstate.Prefix + "key"

	selector = labelManagedBy + "=" + managedBy
)

// JobSettings is what the Jobs of all pulls have in common.
type JobSettings struct {
	// Namespace is where Jobs are made and watched.
	Namespace string
	// CopierImage is the image that holds the pullwatch program.
	CopierImage string
	// RegistrySecret names a secret of type kubernetes.io/dockerconfigjson with the logins of source and destination
	// registries; empty for none.
	RegistrySecret string
	// RegistryCA names a ConfigMap with certificates in PEM of authorities to trust; empty for none.
	RegistryCA string
	// InsecureRegistries and AllowPrivateHosts are as in mirror.Options.
	InsecureRegistries, AllowPrivateHosts []string
	// Deadline bounds a pull, all attempts together, from when it leaves the queue.
	Deadline time.Duration
	// HistoryTTL is how long a finished Job stays.
	HistoryTTL time.Duration
	// Template is a Job in YAML that is laid over the one that pullwatch makes; nil for none.
	Template []byte
	// AllowUnsafeTemplate lets Template make the copier less safe.
	AllowUnsafeTemplate bool
}

// CheckTemplate returns what is wrong with the Template, as far as this program knows. The API server may refuse it all the same.
func (s JobSettings) CheckTemplate() error {
	_, err := newJobPrototype(s)
	return err
}

// backoffLimit is how many more attempts, each in a new pod, Kubernetes makes after one that failed for a passing reason. The
// copier itself tries each blob several times before its attempt fails.
const backoffLimit = 3

// newJobPrototype returns a Job with all that the Jobs of pulls have in common.
func newJobPrototype(s JobSettings) (*batchv1.Job, error) {
	labels := map[string]string{labelManagedBy: managedBy}
	args := []string{"mirror", "--termination-log=" + corev1.TerminationMessagePathDefault}
	for _, host := range s.InsecureRegistries {
		args = append(args, "--insecure-registry="+host)
	}
	for _, host := range s.AllowPrivateHosts {
		args = append(args, "--allow-private-host="+host)
	}
	copier := corev1.Container{
		Name:  pull.ContainerName,
		Image: s.CopierImage,
		Args:  args,
		// Well below the limit: the garbage collector must work harder before the kernel kills the copier.
		Env: []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "48MiB"}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("48Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
		},
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot:             new(true),
			RunAsUser:                new(int64(65532)),
			RunAsGroup:               new(int64(65532)),
			ReadOnlyRootFilesystem:   new(true),
			AllowPrivilegeEscalation: new(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
	var volumes []corev1.Volume
	if s.RegistrySecret != "" {
		const mount = "/registry-logins"
		copier.Env = append(copier.Env, corev1.EnvVar{Name: "DOCKER_CONFIG", Value: mount})
		copier.VolumeMounts = append(copier.VolumeMounts, corev1.VolumeMount{Name: "registry-logins", MountPath: mount, ReadOnly: true})
		volumes = append(volumes, corev1.Volume{Name: "registry-logins", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: s.RegistrySecret,
			Items:      []corev1.KeyToPath{{Key: corev1.DockerConfigJsonKey, Path: "config.json"}},
		}}})
	}
	if s.RegistryCA != "" {
		const mount = "/registry-ca"
		copier.Args = append(copier.Args, "--registry-ca="+mount)
		copier.VolumeMounts = append(copier.VolumeMounts, corev1.VolumeMount{Name: "registry-ca", MountPath: mount, ReadOnly: true})
		volumes = append(volumes, corev1.Volume{Name: "registry-ca", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: s.RegistryCA},
		}}})
	}
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Labels: labels},
		Spec: batchv1.JobSpec{
			Suspend:                 new(true),
			BackoffLimit:            new(int32(backoffLimit)),
			ActiveDeadlineSeconds:   new(int64(s.Deadline / time.Second)),
			TTLSecondsAfterFinished: new(int32(s.HistoryTTL / time.Second)),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
				{
					Action: batchv1.PodFailurePolicyActionFailJob,
					OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
						ContainerName: new(pull.ContainerName),
						Operator:      batchv1.PodFailurePolicyOnExitCodesOpIn,
						Values:        []int32{pull.ExitPermanent},
					},
				},
				{
					Action:          batchv1.PodFailurePolicyActionIgnore,
					OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
				},
			}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: podMetadata(),
				Spec: corev1.PodSpec{
					RestartPolicy:                 corev1.RestartPolicyNever,
					AutomountServiceAccountToken:  new(false),
					EnableServiceLinks:            new(false),
					TerminationGracePeriodSeconds: new(int64(5)),
					Containers:                    []corev1.Container{copier},
					Volumes:                       volumes,
				},
			},
		},
	}
	if s.Template == nil {
		return job, nil
	}
	return overlay(job, s.Template, s.AllowUnsafeTemplate)
}

// podMetadata returns labels and annotations of the pods of pulls. They ask service meshes for no container: such a container never
// ends, so Kubernetes does not end the pod (pullstate/others.go). A Job template can set them otherwise.
func podMetadata() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Labels:      map[string]string{labelManagedBy: managedBy, "sidecar.istio.io/inject": "false"},
		Annotations: map[string]string{"sidecar.istio.io/inject": "false", "linkerd.io/inject": "disabled"},
	}
}

// job returns the Job of the n-th pull of its route.
func (r request) job(prototype *batchv1.Job, n int64, now time.Time) *batchv1.Job {
	job := prototype.DeepCopy()
	job.Name = jobName(r, n)
	set := func(m *map[string]string, k, v string) {
		if *m == nil {
			*m = map[string]string{}
		}
		(*m)[k] = v
	}
	set(&job.Labels, labelKey, r.key())
	set(&job.Spec.Template.Labels, labelKey, r.key())
	set(&job.Annotations, pullstate.AnnotationImage, r.image.Name)
	set(&job.Annotations, pullstate.AnnotationDestination, r.destination.Name)
	if len(r.platforms) > 0 {
		set(&job.Annotations, pullstate.AnnotationPlatforms, pull.JoinPlatforms(r.platforms))
	}
	set(&job.Annotations, pullstate.AnnotationCreated, now.UTC().Format(time.RFC3339Nano))
	if r.retryOf != nil {
		set(&job.Annotations, pullstate.AnnotationRetryOf, *r.retryOf)
	}
	for i := range job.Spec.Template.Spec.Containers {
		if c := &job.Spec.Template.Spec.Containers[i]; c.Name == pull.ContainerName {
			for _, platform := range r.platforms {
				c.Args = append(c.Args, "--platform="+platform)
			}
			c.Args = append(c.Args, r.image.Name, r.destination.Name)
		}
	}
	return job
}
