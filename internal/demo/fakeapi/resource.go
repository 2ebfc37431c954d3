package fakeapi

import (
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// resource is what differs between the kinds of objects.
type resource struct {
	kind   schema.GroupVersionKind
	plural string
	// propagation is what a delete does to dependents if the client does not say.
	propagation metav1.DeletionPropagation
	new         func() Object
	newList     func([]Object, metav1.ListMeta) runtime.Object

	// The following are nil for kinds that do not need them. hasStatus is whether there is a /status.
	hasStatus bool
	defaults  func(Object)
	check     func(obj Object) field.ErrorList
	// checkChange returns an error for a change of an immutable field.
	checkChange func(obj, old Object) field.ErrorList
	// keepStatus makes an update of obj keep its status. keepSpec makes an update of the status keep the rest.
	keepStatus, keepSpec func(obj, old Object)
	sameSpec             func(obj, old Object) bool
	// fields are the fields for field selectors, besides name and namespace.
	fields func(Object) fields.Set
}

var (
	jobs = &resource{
		kind: batchv1.SchemeGroupVersion.WithKind("Job"), plural: "jobs",
		// As in batch/v1, the pods of a deleted Job stay unless the client asks otherwise.
		propagation: metav1.DeletePropagationOrphan,
		new:         func() Object { return &batchv1.Job{} },
		newList: func(objects []Object, meta metav1.ListMeta) runtime.Object {
			return &batchv1.JobList{
				TypeMeta: listType("batch/v1", "JobList"), ListMeta: meta, Items: items[batchv1.Job](objects),
			}
		},
		hasStatus:   true,
		defaults:    func(obj Object) { defaultJob(obj.(*batchv1.Job)) },
		check:       func(obj Object) field.ErrorList { return checkJob(obj.(*batchv1.Job)) },
		checkChange: func(obj, old Object) field.ErrorList { return checkJobChange(obj.(*batchv1.Job), old.(*batchv1.Job)) },
		keepStatus:  func(obj, old Object) { obj.(*batchv1.Job).Status = old.(*batchv1.Job).Status },
		keepSpec:    func(obj, old Object) { obj.(*batchv1.Job).Spec = old.(*batchv1.Job).Spec },
		sameSpec: func(obj, old Object) bool {
			return equality.Semantic.DeepEqual(obj.(*batchv1.Job).Spec, old.(*batchv1.Job).Spec)
		},
	}
	pods = &resource{
		kind: corev1.SchemeGroupVersion.WithKind("Pod"), plural: "pods",
		propagation: metav1.DeletePropagationBackground,
		new:         func() Object { return &corev1.Pod{} },
		newList: func(objects []Object, meta metav1.ListMeta) runtime.Object {
			return &corev1.PodList{TypeMeta: listType("v1", "PodList"), ListMeta: meta, Items: items[corev1.Pod](objects)}
		},
		hasStatus:  true,
		defaults:   func(obj Object) { defaultPod(obj.(*corev1.Pod)) },
		check:      func(obj Object) field.ErrorList { return checkPodSpec(&obj.(*corev1.Pod).Spec, field.NewPath("spec")) },
		keepStatus: func(obj, old Object) { obj.(*corev1.Pod).Status = old.(*corev1.Pod).Status },
		keepSpec:   func(obj, old Object) { obj.(*corev1.Pod).Spec = old.(*corev1.Pod).Spec },
		sameSpec: func(obj, old Object) bool {
			return equality.Semantic.DeepEqual(obj.(*corev1.Pod).Spec, old.(*corev1.Pod).Spec)
		},
		fields: func(obj Object) fields.Set {
			pod := obj.(*corev1.Pod)
			return fields.Set{"spec.nodeName": pod.Spec.NodeName, "status.phase": string(pod.Status.Phase)}
		},
	}
	leases = &resource{
		kind: coordinationv1.SchemeGroupVersion.WithKind("Lease"), plural: "leases",
		propagation: metav1.DeletePropagationBackground,
		new:         func() Object { return &coordinationv1.Lease{} },
		newList: func(objects []Object, meta metav1.ListMeta) runtime.Object {
			return &coordinationv1.LeaseList{
				TypeMeta: listType("coordination.k8s.io/v1", "LeaseList"), ListMeta: meta,
				Items: items[coordinationv1.Lease](objects),
			}
		},
	}

	events = &resource{
		kind: corev1.SchemeGroupVersion.WithKind("Event"), plural: "events",
		propagation: metav1.DeletePropagationBackground,
		new:         func() Object { return &corev1.Event{} },
		newList: func(objects []Object, meta metav1.ListMeta) runtime.Object {
			return &corev1.EventList{TypeMeta: listType("v1", "EventList"), ListMeta: meta, Items: items[corev1.Event](objects)}
		},
		fields: func(obj Object) fields.Set { return fields.Set{"type": obj.(*corev1.Event).Type} },
	}

	resources = []*resource{jobs, pods, leases, events, deployments, statefulSets, daemonSets, cronJobs}
)

func listType(version, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: kind}
}

// items makes shallow copies of objects for a list. The objects in a list have no kind.
func items[T any, P interface {
	*T
	Object
}](objects []Object) []T {
	list := make([]T, len(objects))
	for i, obj := range objects {
		list[i] = *obj.(P)
		P(&list[i]).GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	}
	return list
}

func (res *resource) group() schema.GroupResource {
	return schema.GroupResource{Group: res.kind.Group, Resource: res.plural}
}

// path is where the resource's API group is served.
func (res *resource) path() string {
	if res.kind.Group == "" {
		return "/api/" + res.kind.Version
	}
	return "/apis/" + res.kind.Group + "/" + res.kind.Version
}

func (res *resource) list(objects []Object, version uint64) runtime.Object {
	return res.newList(objects, metav1.ListMeta{ResourceVersion: strconv.FormatUint(version, 10)})
}

func (res *resource) prepareCreate(obj Object) {
	if res.defaults != nil {
		res.defaults(obj)
	}
}

func (res *resource) prepareUpdate(obj, old Object) {
	if res.keepStatus != nil {
		res.keepStatus(obj, old)
	}
	if res.sameSpec != nil && !res.sameSpec(obj, old) {
		obj.SetGeneration(old.GetGeneration() + 1)
	}
}

func (res *resource) prepareStatusUpdate(obj, old Object) {
	if res.keepSpec != nil {
		res.keepSpec(obj, old)
	}
}

func (res *resource) validate(obj Object) error {
	errs := validation.ValidateObjectMetaAccessor(obj, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	if res.check != nil {
		errs = append(errs, res.check(obj)...)
	}
	return res.invalid(obj, errs)
}

func (res *resource) validateUpdate(obj, old Object) error {
	if res.checkChange == nil {
		return nil
	}
	return res.invalid(obj, res.checkChange(obj, old))
}

func (res *resource) invalid(obj Object, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(res.kind.GroupKind(), obj.GetName(), errs)
}

func (res *resource) fieldSet(obj Object) fields.Set {
	set := fields.Set{}
	if res.fields != nil {
		set = res.fields(obj)
	}
	set["metadata.name"] = obj.GetName()
	set["metadata.namespace"] = obj.GetNamespace()
	return set
}
