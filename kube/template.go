package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// overlay lays a Job template in YAML over job, as kubectl would apply a patch file: lists with names, such as containers
// and volumes, are merged by name. It refuses, naming the field, what is no field of a Job, what pullwatch relies on, and unless
// allowUnsafe is set, what is less safe.
func overlay(job *batchv1.Job, template []byte, allowUnsafe bool) (*batchv1.Job, error) {
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
	if allowUnsafe {
		return &result, nil
	}
	if err := checkSafe(&result.Spec.Template); err != nil {
		return nil, fmt.Errorf("job template: %w", err)
	}
	return &result, nil
}

// checkReserved returns an error for each field of result that differs from base, though pullwatch relies on it. given is the template by itself.
func checkReserved(given, base, result *batchv1.Job) error {
	var errs []error
	reserve := func(field string, is, was any) {
		if !equality.Semantic.DeepEqual(is, was) {
			errs = append(errs, fmt.Errorf("%s: is set by pullwatch and cannot be changed", field))
		}
	}
	keep := func(kept bool, field, what string) {
		if !kept {
			errs = append(errs, fmt.Errorf("%s: must stay %s", field, what))
		}
	}
	reserve("metadata.name", given.Name+given.GenerateName, "")
	reserve("metadata.namespace (use --namespace)", result.Namespace, base.Namespace)
	for name := range given.Annotations {
		keep(!strings.HasPrefix(name, pullstate.Prefix), "annotation "+name, "unset")
	}
	for _, label := range []string{labelManagedBy, labelKey} {
		reserve("metadata.labels["+label+"]", result.Labels[label], base.Labels[label])
		reserve("spec.template.metadata.labels["+label+"]", result.Spec.Template.Labels[label], base.Spec.Template.Labels[label])
	}
	is, was := result.Spec, base.Spec
	reserve("spec.suspend", is.Suspend, was.Suspend)
	reserve("spec.parallelism", is.Parallelism, was.Parallelism)
	reserve("spec.completions", is.Completions, was.Completions)
	reserve("spec.completionMode", is.CompletionMode, was.CompletionMode)
	reserve("spec.backoffLimitPerIndex", is.BackoffLimitPerIndex, was.BackoffLimitPerIndex)
	reserve("spec.selector", is.Selector, was.Selector)
	reserve("spec.manualSelector", is.ManualSelector, was.ManualSelector)
	reserve("spec.managedBy", is.ManagedBy, was.ManagedBy)
	reserve("spec.podFailurePolicy", is.PodFailurePolicy, was.PodFailurePolicy)
	keep(is.BackoffLimit != nil, "spec.backoffLimit", "set")
	keep(is.ActiveDeadlineSeconds != nil && *is.ActiveDeadlineSeconds > 0, "spec.activeDeadlineSeconds", "set")
	keep(is.TTLSecondsAfterFinished != nil, "spec.ttlSecondsAfterFinished", "set")

	pod, podWas := is.Template.Spec, was.Template.Spec
	reserve("spec.template.spec.restartPolicy", pod.RestartPolicy, podWas.RestartPolicy)
	reserve("spec.template.spec.initContainers", pod.InitContainers, podWas.InitContainers)
	if len(pod.Containers) != 1 || pod.Containers[0].Name != pull.ContainerName {
		return errors.Join(append(errs, fmt.Errorf("spec.template.spec.containers: a pull's pod runs the container %q and no other", pull.ContainerName))...)
	}
	copier, copierWas := pod.Containers[0], podWas.Containers[0]
	const field = "spec.template.spec.containers[name=copier]."
	reserve(field+"args", copier.Args, copierWas.Args)
	reserve(field+"command", copier.Command, copierWas.Command)
	reserve(field+"terminationMessagePath", copier.TerminationMessagePath, copierWas.TerminationMessagePath)
	reserve(field+"terminationMessagePolicy", copier.TerminationMessagePolicy, copierWas.TerminationMessagePolicy)
	return errors.Join(errs...)
}

// checkSafe returns an error for each thing that makes the copier's pod less safe than pullwatch makes it: what the level
// "restricted" of Kubernetes' Pod Security Standards forbids, a token of a service account, a writable file system.
func checkSafe(pod *corev1.PodTemplateSpec) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	var errs []error
	refuse := func(what string) {
		errs = append(errs, fmt.Errorf("%s: makes the copier less safe; with --allow-unsafe-template it is accepted", what))
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			refuse("spec.template: " + result.ForbiddenReason + ": " + result.ForbiddenDetail)
		}
	}
	if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
		refuse("spec.template.spec.automountServiceAccountToken: must stay false")
	}
	// checkReserved has found that the copier is the only container.
	if sc := pod.Spec.Containers[0].SecurityContext; sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem {
		refuse("spec.template.spec.containers[name=copier].securityContext.readOnlyRootFilesystem: must stay true")
	}
	return errors.Join(errs...)
}
