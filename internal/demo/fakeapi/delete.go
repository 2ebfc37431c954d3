package fakeapi

import (
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// delete removes an object and, if options ask for it, its pods. It only marks an object that has finalizers. A pod goes at
// once, without a grace period, because there is no kubelet to wait for.
func (s *store) delete(res *resource, k key, options *metav1.DeleteOptions) (Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj, err := s.collections[res].get(res, k)
	if err != nil {
		return nil, err
	}
	if err := checkPreconditions(res, obj, options.Preconditions); err != nil {
		return nil, err
	}
	if len(options.DryRun) > 0 {
		return obj, nil
	}
	policy := res.propagation
	if options.PropagationPolicy != nil {
		policy = *options.PropagationPolicy
	}
	if policy == metav1.DeletePropagationForeground {
		obj = s.markDeleted(res, obj, metav1.FinalizerDeleteDependents)
		s.deleteDependents(obj.GetUID(), k.namespace)
		waiting := obj.DeepCopyObject().(Object)
		waiting.SetFinalizers(slices.DeleteFunc(waiting.GetFinalizers(), func(f string) bool {
			return f == metav1.FinalizerDeleteDependents
		}))
		obj = waiting
	}
	switch {
	case len(obj.GetFinalizers()) == 0:
		s.remove(res, obj)
	case policy == metav1.DeletePropagationForeground:
		s.put(res, watch.Modified, s.collections[res].objects[k], obj)
	default:
		obj = s.markDeleted(res, obj)
	}
	if policy == metav1.DeletePropagationBackground {
		s.deleteDependents(obj.GetUID(), k.namespace)
	}
	return obj, nil
}

func checkPreconditions(res *resource, obj Object, want *metav1.Preconditions) error {
	if want == nil {
		return nil
	}
	if want.UID != nil && *want.UID != obj.GetUID() {
		return apierrors.NewConflict(res.group(), obj.GetName(), uidMismatch(*want.UID, obj.GetUID()))
	}
	if want.ResourceVersion != nil && *want.ResourceVersion != obj.GetResourceVersion() {
		//lint:ignore ST1005 the API server's own words
		return apierrors.NewConflict(res.group(), obj.GetName(), fmt.Errorf(
			"Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v",
			*want.ResourceVersion, obj.GetResourceVersion()))
	}
	return nil
}

// markDeleted stores obj as being deleted. It stays until its finalizers are removed.
func (s *store) markDeleted(res *resource, obj Object, finalizers ...string) Object {
	if obj.GetDeletionTimestamp() != nil && len(finalizers) == 0 {
		return obj
	}
	marked := obj.DeepCopyObject().(Object)
	now, grace := metav1.Now().Rfc3339Copy(), int64(0)
	marked.SetDeletionTimestamp(&now)
	marked.SetDeletionGracePeriodSeconds(&grace)
	marked.SetFinalizers(append(marked.GetFinalizers(), finalizers...))
	s.put(res, watch.Modified, obj, marked)
	return marked
}

// deleteDependents plays the garbage collector, for pods.
func (s *store) deleteDependents(owner types.UID, namespace string) {
	for k, pod := range s.collections[pods].objects {
		if k.namespace != namespace || !ownedBy(pod, owner) {
			continue
		}
		if len(pod.GetFinalizers()) > 0 {
			s.markDeleted(pods, pod)
		} else {
			s.remove(pods, pod)
		}
	}
}

func ownedBy(obj Object, owner types.UID) bool {
	return slices.ContainsFunc(obj.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owner })
}
