package fakeapi

import (
	"maps"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// defaultJob sets the defaults that the API server sets when a Job is created.
func defaultJob(job *batchv1.Job) {
	spec := &job.Spec
	job.Status = batchv1.JobStatus{}
	if spec.Parallelism == nil && spec.Completions == nil {
		spec.Completions = new(int32(1))
	}
	setDefault(&spec.Parallelism, 1)
	setDefault(&spec.BackoffLimit, 6)
	setDefault(&spec.Suspend, false)
	setDefault(&spec.ManualSelector, false)
	setDefault(&spec.CompletionMode, batchv1.NonIndexedCompletion)
	if spec.PodFailurePolicy != nil {
		setDefault(&spec.PodReplacementPolicy, batchv1.Failed)
	}
	setDefault(&spec.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	if !*spec.ManualSelector {
		identity := map[string]string{batchv1.ControllerUidLabel: string(job.UID)}
		spec.Selector = &metav1.LabelSelector{MatchLabels: identity}
		labels := map[string]string{
			"controller-uid": string(job.UID), batchv1.ControllerUidLabel: string(job.UID),
			"job-name": job.Name, batchv1.JobNameLabel: job.Name,
		}
		maps.Copy(labels, withoutKeys(spec.Template.Labels, labels))
		spec.Template.Labels = labels
	}
	if len(job.Labels) == 0 {
		job.Labels = maps.Clone(spec.Template.Labels)
	}
	defaultPodSpec(&spec.Template.Spec)
}

func withoutKeys(m, keys map[string]string) map[string]string {
	rest := maps.Clone(m)
	maps.DeleteFunc(rest, func(k, _ string) bool { _, ok := keys[k]; return ok })
	return rest
}

func defaultPod(pod *corev1.Pod) {
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: corev1.PodQOSBestEffort}
	if pod.Spec.RestartPolicy == "" {
		pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	}
	defaultPodSpec(&pod.Spec)
}

func defaultPodSpec(spec *corev1.PodSpec) {
	setDefault(&spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
	setDefault(&spec.SecurityContext, corev1.PodSecurityContext{})
	if spec.DNSPolicy == "" {
		spec.DNSPolicy = corev1.DNSClusterFirst
	}
	if spec.SchedulerName == "" {
		spec.SchedulerName = corev1.DefaultSchedulerName
	}
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			defaultContainer(&containers[i])
		}
	}
}

func defaultContainer(c *corev1.Container) {
	if c.TerminationMessagePath == "" {
		c.TerminationMessagePath = corev1.TerminationMessagePathDefault
	}
	if c.TerminationMessagePolicy == "" {
		c.TerminationMessagePolicy = corev1.TerminationMessageReadFile
	}
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = corev1.PullIfNotPresent
	}
}

func setDefault[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// checkJob checks a Job against the rules that a Job template is most likely to break.
func checkJob(job *batchv1.Job) field.ErrorList {
	template := field.NewPath("spec", "template", "spec")
	errs := checkPodSpec(&job.Spec.Template.Spec, template)
	switch policy := job.Spec.Template.Spec.RestartPolicy; {
	case policy == "":
		errs = append(errs, field.Required(template.Child("restartPolicy"), `valid values: "OnFailure", "Never"`))
	case policy == corev1.RestartPolicyAlways:
		errs = append(errs, field.NotSupported(template.Child("restartPolicy"), policy,
			[]corev1.RestartPolicy{corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}))
	case policy != corev1.RestartPolicyNever && job.Spec.PodFailurePolicy != nil:
		errs = append(errs, field.Invalid(template.Child("restartPolicy"), policy,
			`only "Never" is supported when podFailurePolicy is specified`))
	}
	return errs
}

func checkPodSpec(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(spec.Containers) == 0 {
		errs = append(errs, field.Required(path.Child("containers"), ""))
	}
	for i, c := range spec.Containers {
		if c.Name == "" {
			errs = append(errs, field.Required(path.Child("containers").Index(i).Child("name"), ""))
		}
		if c.Image == "" {
			errs = append(errs, field.Required(path.Child("containers").Index(i).Child("image"), ""))
		}
	}
	return errs
}

// checkJobChange returns an error for a change of a Job's identity, or of its pod template once it has started.
func checkJobChange(job, old *batchv1.Job) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("spec")
	if !equality.Semantic.DeepEqual(job.Spec.Selector, old.Spec.Selector) {
		errs = append(errs, field.Invalid(path.Child("selector"), job.Spec.Selector, "field is immutable"))
	}
	started := !*old.Spec.Suspend || old.Status.StartTime != nil
	if started && !equality.Semantic.DeepEqual(job.Spec.Template, old.Spec.Template) {
		errs = append(errs, field.Invalid(path.Child("template"), job.Spec.Template, "field is immutable"))
	}
	return errs
}
