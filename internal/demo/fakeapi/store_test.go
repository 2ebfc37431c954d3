package fakeapi_test

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"pullwatch/internal/demo/fakeapi"
)

func TestObjectsAreCreatedChangedAndDeletedAsInKubernetes(t *testing.T) {
	for _, contentType := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		t.Run(contentType, func(t *testing.T) {
			server := fakeapi.New()
			defer server.Close()
			config := server.Config()
			config.ContentConfig = rest.ContentConfig{ContentType: contentType, AcceptContentTypes: contentType}
			client := clientOf(t, config)
			ctx := t.Context()
			jobs := client.BatchV1().Jobs(namespace)

			created := mustCreateJob(t, ctx, client, newJob("one"))
			if created.UID == "" || created.ResourceVersion == "" || created.CreationTimestamp.IsZero() ||
				created.Generation != 1 {
				t.Errorf("created: %+v", created.ObjectMeta)
			}
			if *created.Spec.BackoffLimit != 6 || *created.Spec.Completions != 1 || *created.Spec.Suspend {
				t.Errorf("defaults: %+v", created.Spec)
			}
			uid := string(created.UID)
			if created.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] != uid ||
				created.Spec.Template.Labels[batchv1.JobNameLabel] != "one" {
				t.Errorf("selector %v, template labels %v", created.Spec.Selector, created.Spec.Template.Labels)
			}
			if _, err := jobs.Create(ctx, newJob("one"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
				t.Errorf("second create: %v, want AlreadyExists", err)
			}

			status := created.DeepCopy()
			status.Status.Active = 1
			status.Spec.Suspend = new(true)
			afterStatus, err := jobs.UpdateStatus(ctx, status, metav1.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if afterStatus.Status.Active != 1 || *afterStatus.Spec.Suspend || afterStatus.Generation != 1 {
				t.Errorf("an update of the status changed more or less than that: %+v", afterStatus)
			}
			stale := created.DeepCopy()
			stale.Spec.Suspend = new(true)
			if _, err := jobs.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				t.Errorf("stale update: %v, want Conflict", err)
			}
			fresh := afterStatus.DeepCopy()
			fresh.Spec.Suspend = new(true)
			fresh.Status.Active = 7
			updated, err := jobs.Update(ctx, fresh, metav1.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !*updated.Spec.Suspend || updated.Status.Active != 1 || updated.Generation != 2 {
				t.Errorf("updated: %+v", updated)
			}
			same, err := jobs.Update(ctx, updated, metav1.UpdateOptions{})
			if err != nil || same.ResourceVersion != updated.ResourceVersion {
				t.Errorf("an update without a change made version %s of %s: %v", same.ResourceVersion, updated.ResourceVersion, err)
			}

			if err := jobs.Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := jobs.Get(ctx, "one", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("get: %v, want NotFound", err)
			}
		})
	}
}

func TestNamesAreGeneratedAndDryRunsStoreNothing(t *testing.T) {
	_, client := newClient(t)
	ctx := t.Context()
	pod := newPod("", nil)
	pod.GenerateName = "worker-"
	got := mustCreatePod(t, ctx, client, pod)
	if len(got.Name) != len("worker-")+5 || got.Status.Phase != corev1.PodPending {
		t.Errorf("name %q, phase %q", got.Name, got.Status.Phase)
	}
	options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	if _, err := client.BatchV1().Jobs(namespace).Create(ctx, newJob("dry"), options); err != nil {
		t.Fatal(err)
	}
	if _, err := client.BatchV1().Jobs(namespace).Get(ctx, "dry", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a dry run stored its object: %v", err)
	}
}

func TestInvalidJobsAreRefused(t *testing.T) {
	_, client := newClient(t)
	for name, spoil := range map[string]func(*batchv1.Job){
		"name":           func(j *batchv1.Job) { j.Name = "Not_A_Name" },
		"restart policy": func(j *batchv1.Job) { j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyAlways },
		"no container":   func(j *batchv1.Job) { j.Spec.Template.Spec.Containers = nil },
		"failure policy": func(j *batchv1.Job) {
			j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
			j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{}
		},
	} {
		job := newJob("job")
		spoil(job)
		_, err := client.BatchV1().Jobs(namespace).Create(t.Context(), job, metav1.CreateOptions{})
		if !apierrors.IsInvalid(err) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}

func TestPatchesOfEachKindAreApplied(t *testing.T) {
	_, client := newClient(t)
	ctx := t.Context()
	created := mustCreateJob(t, ctx, client, newJob("job"))
	jobs := client.BatchV1().Jobs(namespace)

	tests := []struct {
		name  string
		kind  types.PatchType
		patch string
		check func(*batchv1.Job) bool
	}{
		{"merge", types.MergePatchType, `{"spec":{"suspend":true}}`, func(j *batchv1.Job) bool { return *j.Spec.Suspend }},
		{"merge removes", types.MergePatchType, `{"metadata":{"labels":{"app":null}}}`,
			func(j *batchv1.Job) bool { _, ok := j.Labels["app"]; return !ok }},
		{"json", types.JSONPatchType, `[{"op":"add","path":"/metadata/annotations","value":{"a":"b"}}]`,
			func(j *batchv1.Job) bool { return j.Annotations["a"] == "b" }},
		{"strategic", types.StrategicMergePatchType,
			`{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"x"}]}}}}`,
			func(j *batchv1.Job) bool { return len(j.Spec.Template.Spec.Containers) == 2 }},
	}
	for _, test := range tests {
		got, err := jobs.Patch(ctx, "job", test.kind, []byte(test.patch), metav1.PatchOptions{})
		if err != nil || !test.check(got) {
			t.Errorf("%s: %v %+v", test.name, err, got)
		}
	}

	stale := `{"metadata":{"resourceVersion":"` + created.ResourceVersion + `"},"spec":{"suspend":false}}`
	_, err := jobs.Patch(ctx, "job", types.MergePatchType, []byte(stale), metav1.PatchOptions{})
	if !apierrors.IsConflict(err) {
		t.Errorf("patch of a stale version: %v, want Conflict", err)
	}
	test := `[{"op":"test","path":"/spec/suspend","value":false}]`
	_, err = jobs.Patch(ctx, "job", types.JSONPatchType, []byte(test), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("a JSON patch whose test fails: %v, want Invalid", err)
	}
	status, err := jobs.Patch(ctx, "job", types.MergePatchType, []byte(`{"status":{"active":1},"spec":{"suspend":false}}`),
		metav1.PatchOptions{}, "status")
	if err != nil || status.Status.Active != 1 || !*status.Spec.Suspend {
		t.Errorf("patch of the status: %v %+v", err, status)
	}
}

func TestTemplateIsFixedOnceStarted(t *testing.T) {
	_, client := newClient(t)
	mustCreateJob(t, t.Context(), client, newJob("job"))
	patch := []byte(`{"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}`)
	jobs := client.BatchV1().Jobs(namespace)
	_, err := jobs.Patch(t.Context(), "job", types.MergePatchType, patch, metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("got %v, want Invalid", err)
	}
}

func TestSelectorsSelectAsInKubernetes(t *testing.T) {
	_, client := newClient(t)
	ctx := t.Context()
	for _, name := range []string{"a", "b", "c"} {
		pod := newPod(name, nil)
		pod.Labels = map[string]string{"app": name}
		pod.Spec.NodeName = "node-" + name
		mustCreatePod(t, ctx, client, pod)
	}
	for _, test := range []struct {
		options metav1.ListOptions
		want    string
	}{
		{metav1.ListOptions{}, "abc"},
		{metav1.ListOptions{LabelSelector: "app in (a,c)"}, "ac"},
		{metav1.ListOptions{FieldSelector: "metadata.name=b"}, "b"},
		{metav1.ListOptions{FieldSelector: "spec.nodeName=node-c,status.phase=Pending"}, "c"},
		{metav1.ListOptions{LabelSelector: "app=a", FieldSelector: "status.phase=Running"}, ""},
	} {
		list, err := client.CoreV1().Pods("").List(ctx, test.options)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, pod := range list.Items {
			got += pod.Name
		}
		if got != test.want {
			t.Errorf("%+v: got %q, want %q", test.options, got, test.want)
		}
	}
	_, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.color=red"})
	if !apierrors.IsBadRequest(err) {
		t.Errorf("unknown field: %v, want BadRequest", err)
	}
}

func TestOnlyOneOfTwoTakesALease(t *testing.T) {
	_, client := newClient(t)
	ctx := t.Context()
	leases := client.CoordinationV1().Leases(namespace)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "leader"}}
	created, err := leases.Create(ctx, lease, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := created.DeepCopy(), created.DeepCopy()
	mine.Spec.HolderIdentity, theirs.Spec.HolderIdentity = new("me"), new("they")
	if _, err := leases.Update(ctx, mine, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := leases.Update(ctx, theirs, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("second holder: %v, want Conflict", err)
	}
}

func TestBackdatedObjectsAreOld(t *testing.T) {
	server, client := newClient(t)
	server.Backdate(time.Hour)
	noon := time.Date(2026, 1, 2, 12, 0, 0, 5, time.UTC)
	job := newJob("old")
	job.Annotations = map[string]string{"when": noon.Format(time.RFC3339Nano), "what": "else"}
	old := mustCreateJob(t, t.Context(), client, job)
	want := noon.Add(-time.Hour).Format(time.RFC3339Nano)
	if old.Annotations["when"] != want || old.Annotations["what"] != "else" {
		t.Errorf("annotations %v, want the time %s", old.Annotations, want)
	}
	server.Backdate(0)
	young := mustCreateJob(t, t.Context(), client, newJob("young"))
	if age := young.CreationTimestamp.Sub(old.CreationTimestamp.Time); age < time.Hour {
		t.Errorf("the old one is %v older, want an hour", age)
	}
}

func TestAPastVersionCanBeListed(t *testing.T) {
	_, client := newClient(t)
	ctx := t.Context()
	jobs := client.BatchV1().Jobs(namespace)
	exactly := func(version string) (string, error) {
		list, err := jobs.List(ctx, metav1.ListOptions{
			LabelSelector: "app=red", ResourceVersion: version, ResourceVersionMatch: metav1.ResourceVersionMatchExact,
		})
		var names string
		for _, job := range list.Items {
			names += job.Name + " "
		}
		if err == nil && list.ResourceVersion != version {
			t.Errorf("a list of version %s, want %s", list.ResourceVersion, version)
		}
		return names, err
	}
	red := newJob("a")
	red.Labels = map[string]string{"app": "red"}
	first := mustCreateJob(t, ctx, client, red)
	second := mustCreateJob(t, ctx, client, newJob("b"))
	relabel(t, client, "b", "red")
	third, err := jobs.Get(ctx, "b", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := jobs.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{first.ResourceVersion: "a ", second.ResourceVersion: "a ", third.ResourceVersion: "a b "} {
		if got, err := exactly(version); got != want || err != nil {
			t.Errorf("at %s: %q, %v; want %q", version, got, err, want)
		}
	}
	if _, err := exactly(""); !apierrors.IsBadRequest(err) {
		t.Errorf("of no version: %v", err)
	}
	if _, err := exactly("1000000"); !apierrors.IsTimeout(err) {
		t.Errorf("of the future: %v", err)
	}
}

func TestAForgottenVersionIsExpired(t *testing.T) {
	server := fakeapi.NewWithWindow(2)
	defer server.Close()
	client := clientOf(t, server.Config())
	for i := range 10 {
		mustCreateJob(t, t.Context(), client, newJob(fmt.Sprintf("job-%d", i)))
	}
	_, err := client.BatchV1().Jobs(namespace).List(t.Context(), metav1.ListOptions{
		ResourceVersion: "2", ResourceVersionMatch: metav1.ResourceVersionMatchExact,
	})
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("got %v, want Expired", err)
	}
}
