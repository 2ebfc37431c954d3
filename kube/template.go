package kube

import (
	"encoding/json"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"pullwatch/pull"
)

// overlay lays a Job template in YAML over job, as kubectl would apply a patch file: lists with names, such as containers
// and volumes, are merged by name. It refuses, naming the field, what is no field of a Job and what pullwatch relies on.
func overlay(job *batchv1.Job, template []byte) (*batchv1.Job, error) {
	patch, err := yaml.YAMLToJSONStrict(template)
	if err != nil {
		return nil, fmt.Errorf("job template: %w", err)
	}
	var given batchv1.Job
	unknown, err := kjson.UnmarshalStrict(patch, &given)
	if err = errors.Join(append(unknown, err)...); err != nil {
		return nil, fmt.Errorf("job template: %w", err)
	}
	if (given.Kind != "" && given.Kind != "Job") || (given.APIVersion != "" && given.APIVersion != "batch/v1") {
		return nil, fmt.Errorf("job template: kind: is %s %s, expected batch/v1 Job", given.APIVersion, given.Kind)
	}
	base, err := json.Marshal(job)
	if err != nil {
		return nil, fmt.Errorf("job template: %w", err)
	}
	merged, err := strategicpatch.StrategicMergePatch(base, patch, &batchv1.Job{})
	if err != nil {
		return nil, fmt.Errorf("job template: %w", err)
	}
	var result batchv1.Job
	if err := json.Unmarshal(merged, &result); err != nil {
		return nil, fmt.Errorf("job template: %w", err)
	}
	if err := checkReserved(&given, job, &result); err != nil {
		return nil, fmt.Errorf("job template: %w", err)
	}
	return &result, nil
}

// checkReserved returns an error for each field that the template may not set or has to leave as safe as it was.
func checkReserved(given, base, result *batchv1.Job) error {
	var errs []error
	reserved := func(set bool, field string) {
		if set {
			errs = append(errs, fmt.Errorf("%s: is set by pullwatch and cannot be changed", field))
		}
	}
	keep := func(kept bool, field, what string) {
		if !kept {
			errs = append(errs, fmt.Errorf("%s: must stay %s", field, what))
		}
	}
	reserved(given.Name != "" || given.GenerateName != "", "metadata.name")
	reserved(given.Namespace != "" && given.Namespace != base.Namespace, "metadata.namespace (use --namespace)")
	spec := given.Spec
	reserved(spec.Suspend != nil, "spec.suspend")
	reserved(spec.Parallelism != nil, "spec.parallelism")
	reserved(spec.Completions != nil, "spec.completions")
	reserved(spec.CompletionMode != nil, "spec.completionMode")
	reserved(spec.BackoffLimitPerIndex != nil, "spec.backoffLimitPerIndex")
	reserved(spec.Selector != nil || spec.ManualSelector != nil, "spec.selector")
	reserved(spec.ManagedBy != nil, "spec.managedBy")
	reserved(spec.PodFailurePolicy != nil, "spec.podFailurePolicy")
	reserved(len(spec.Template.Spec.InitContainers) > 0, "spec.template.spec.initContainers")
	reserved(spec.Template.Spec.RestartPolicy != "", "spec.template.spec.restartPolicy")
	for k := range map[string]bool{labelManagedBy: true, labelKey: true} {
		reserved(given.Labels[k] != "" || spec.Template.Labels[k] != "", "label "+k)
	}
	for _, c := range given.Spec.Template.Spec.Containers {
		if c.Name == pull.ContainerName {
			reserved(len(c.Args) > 0 || len(c.Command) > 0, "spec.template.spec.containers[name=copier].args and command")
			reserved(c.TerminationMessagePath != "", "spec.template.spec.containers[name=copier].terminationMessagePath")
		}
	}

	out := result.Spec
	keep(out.ActiveDeadlineSeconds != nil && *out.ActiveDeadlineSeconds > 0, "spec.activeDeadlineSeconds", "set")
	keep(out.TTLSecondsAfterFinished != nil, "spec.ttlSecondsAfterFinished", "set")
	keep(out.PodFailurePolicy != nil, "spec.podFailurePolicy", "set")
	keep(out.Template.Spec.AutomountServiceAccountToken != nil && !*out.Template.Spec.AutomountServiceAccountToken,
		"spec.template.spec.automountServiceAccountToken", "false")
	for _, c := range out.Template.Spec.Containers {
		if c.Name != pull.ContainerName {
			errs = append(errs, fmt.Errorf("spec.template.spec.containers[name=%s]: only the container %q can run in a pull's pod", c.Name, pull.ContainerName))
			continue
		}
		errs = append(errs, checkSecurity(c.SecurityContext))
	}
	return errors.Join(errs...)
}

func checkSecurity(sc *corev1.SecurityContext) error {
	const field = "spec.template.spec.containers[name=copier].securityContext."
	switch {
	case sc == nil || sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot:
		return errors.New(field + "runAsNonRoot: must stay true")
	case sc.RunAsUser != nil && *sc.RunAsUser == 0:
		return errors.New(field + "runAsUser: must not be 0")
	case sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem:
		return errors.New(field + "readOnlyRootFilesystem: must stay true")
	case sc.Privileged != nil && *sc.Privileged:
		return errors.New(field + "privileged: must not be true")
	}
	return nil
}
