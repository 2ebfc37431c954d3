package fakeapi

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/watch"
)

// Object is an object in the store. It is immutable there: a new state is a new object.
type Object interface {
	metav1.Object
	runtime.Object
}

// key names an object within its resource.
type key struct{ namespace, name string }

// store holds all objects and their latest events. They share one lock and one counter of versions.
type store struct {
	podLogs *podLogs

	mu          sync.RWMutex
	version     uint64
	age         time.Duration
	collections map[*resource]*collection
}

type collection struct {
	objects map[key]Object
	events  eventLog
}

func newStore(window int, podLogs *podLogs) *store {
	// No list has version 0, not even an empty one: for clients, 0 means any version.
	s := &store{podLogs: podLogs, version: 1, collections: map[*resource]*collection{}}
	for _, res := range resources {
		s.collections[res] = &collection{objects: map[key]Object{}, events: eventLog{window: window}}
	}
	return s
}

func (s *store) backdate(age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age = age
}

func (s *store) get(res *resource, k key) (Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.collections[res].get(res, k)
}

func (c *collection) get(res *resource, k key) (Object, error) {
	obj, ok := c.objects[k]
	if !ok {
		return nil, apierrors.NewNotFound(res.group(), k.name)
	}
	return obj, nil
}

// list returns the objects that match, sorted by namespace and name, and the list's version.
func (s *store) list(res *resource, namespace string, match func(Object) bool) ([]Object, uint64) {
	s.mu.RLock()
	found := matching(s.collections[res].objects, namespace, match)
	version := s.version
	s.mu.RUnlock()
	sortByName(found)
	return found, version
}

// listAt is list as of an earlier version. It fails with 410 Expired if events since then were dropped, and with a timeout if
// there is no such version yet.
func (s *store) listAt(res *resource, namespace string, match func(Object) bool, version uint64) ([]Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if version > s.version {
		return nil, apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", version, s.version), 1)
	}
	c := s.collections[res]
	events, _, err := c.events.after(version)
	if err != nil {
		return nil, err
	}
	then := maps.Clone(c.objects)
	for _, e := range slices.Backward(events) {
		k := key{e.object.GetNamespace(), e.object.GetName()}
		if e.previous == nil {
			delete(then, k)
		} else {
			then[k] = e.previous
		}
	}
	found := matching(then, namespace, match)
	sortByName(found)
	return found, nil
}

func matching(objects map[key]Object, namespace string, match func(Object) bool) []Object {
	var found []Object
	for k, obj := range objects {
		if (namespace == "" || namespace == k.namespace) && match(obj) {
			found = append(found, obj)
		}
	}
	return found
}

func sortByName(objects []Object) {
	slices.SortFunc(objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
}

// current returns the version of the latest change.
func (s *store) current() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.version
}

// eventsAfter is eventLog.after. It also returns the version that a reader of these events has reached.
func (s *store) eventsAfter(res *resource, version uint64) ([]*event, uint64, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, changed, err := s.collections[res].events.after(version)
	return events, s.version, changed, err
}

// create stores obj; the caller must not use it any more. With dryRun it only returns what it would store.
func (s *store) create(res *resource, obj Object, dryRun bool) (Object, error) {
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		obj.SetName(obj.GetGenerateName() + utilrand.String(5))
	}
	obj.SetUID(uuid.NewUUID())
	obj.SetGeneration(1)
	obj.SetDeletionTimestamp(nil)
	obj.GetObjectKind().SetGroupVersionKind(res.kind)
	res.prepareCreate(obj)
	if err := res.validate(obj); err != nil {
		return nil, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	obj.SetCreationTimestamp(metav1.NewTime(time.Now().Add(-s.age).Truncate(time.Second)))
	s.backdateAnnotations(obj)
	c, k := s.collections[res], key{obj.GetNamespace(), obj.GetName()}
	if _, ok := c.objects[k]; ok {
		return nil, apierrors.NewAlreadyExists(res.group(), k.name)
	}
	if !dryRun {
		s.put(res, watch.Added, nil, obj)
	}
	return obj, nil
}

// backdateAnnotations moves the times in a new object's annotations into the past, like the object.
func (s *store) backdateAnnotations(obj Object) {
	if s.age == 0 {
		return
	}
	annotations := maps.Clone(obj.GetAnnotations())
	for name, value := range annotations {
		if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
			annotations[name] = t.Add(-s.age).Format(time.RFC3339Nano)
		}
	}
	obj.SetAnnotations(annotations)
}

// update replaces an object with the result of change, which must not modify its argument. The store keeps the result. An
// update that changes nothing makes no event.
func (s *store) update(res *resource, k key, status, dryRun bool, change func(Object) (Object, error)) (Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.collections[res].get(res, k)
	if err != nil {
		return nil, err
	}
	obj, err := change(old)
	if err != nil {
		return nil, err
	}
	if err := checkIdentity(res, old, obj); err != nil {
		return nil, err
	}
	obj.SetUID(old.GetUID())
	obj.SetResourceVersion(old.GetResourceVersion())
	obj.SetCreationTimestamp(old.GetCreationTimestamp())
	obj.SetDeletionTimestamp(old.GetDeletionTimestamp())
	obj.SetGeneration(old.GetGeneration())
	obj.GetObjectKind().SetGroupVersionKind(res.kind)
	if status {
		res.prepareStatusUpdate(obj, old)
	} else {
		res.prepareUpdate(obj, old)
		if err := res.validateUpdate(obj, old); err != nil {
			return nil, err
		}
	}
	switch {
	case dryRun:
		return obj, nil
	case equality.Semantic.DeepEqual(obj, old):
		return old, nil
	case obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0:
		s.remove(res, obj)
	default:
		s.put(res, watch.Modified, old, obj)
	}
	return obj, nil
}

// checkIdentity returns an error if an update is for another object, or for an older state of it.
func checkIdentity(res *resource, old, obj Object) error {
	if obj.GetName() != old.GetName() || obj.GetNamespace() != old.GetNamespace() {
		return apierrors.NewBadRequest("the name or namespace of the object does not match the one on the URL")
	}
	if uid := obj.GetUID(); uid != "" && uid != old.GetUID() {
		return apierrors.NewConflict(res.group(), old.GetName(), uidMismatch(uid, old.GetUID()))
	}
	if version := obj.GetResourceVersion(); version != "" && version != old.GetResourceVersion() {
		return apierrors.NewConflict(res.group(), old.GetName(), errors.New(
			"the object has been modified; please apply your changes to the latest version and try again"))
	}
	return nil
}

func uidMismatch(want, have types.UID) error {
	//lint:ignore ST1005 the API server's own words
	return fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", want, have)
}

// put stores obj with a new version and adds its event.
func (s *store) put(res *resource, kind watch.EventType, old, obj Object) {
	s.version++
	obj.SetResourceVersion(strconv.FormatUint(s.version, 10))
	c := s.collections[res]
	c.objects[key{obj.GetNamespace(), obj.GetName()}] = obj
	c.events.append(&event{version: s.version, kind: kind, object: obj, previous: old})
	if res == pods {
		s.podLogs.forget(old, obj)
	}
}

// remove deletes an object from the store. last is its final state.
func (s *store) remove(res *resource, last Object) {
	s.version++
	gone := last.DeepCopyObject().(Object)
	gone.SetResourceVersion(strconv.FormatUint(s.version, 10))
	c := s.collections[res]
	k := key{last.GetNamespace(), last.GetName()}
	previous := c.objects[k]
	delete(c.objects, k)
	c.events.append(&event{version: s.version, kind: watch.Deleted, object: gone, previous: previous})
	if res == pods {
		s.podLogs.forget(previous, nil)
	}
}
