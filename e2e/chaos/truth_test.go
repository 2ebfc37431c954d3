package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// truth is what the cluster holds, according to the API server.
type truth struct {
	mu     sync.Mutex
	jobs   []*job // in the order in which they came
	byUID  map[string]*job
	leases []lease // every change of the holder
	// tooMany says when more ran than may, and which.
	tooMany []string
}

// job is a pull's Job.
type job struct {
	id, created string
	// seen, ended and gone are when the Job was first seen, when it had a last phase, and when it had been deleted.
	seen, ended, gone time.Time
	suspended         bool
	// final is the phase with which the pull has ended, empty before. One whose Job was deleted by hand is FAILED.
	final  string
	byHand bool
	// story is what happened to it, for reports.
	story []string
}

type lease struct {
	holder string
	since  time.Time
}

const (
	annotationCreated  = "pullwatch/created"
	annotationCanceled = "pullwatch/canceled"
)

// watchTruth follows a namespace until ctx is done; the function that it returns waits for that.
func watchTruth(ctx context.Context, t *testing.T, namespace string, began time.Time) (*truth, func()) {
	t.Helper()
	w := &truth{byUID: map[string]*job{}}
	factory := informers.NewSharedInformerFactoryWithOptions(cluster.Client, 0, informers.WithNamespace(namespace))
	handle := func(informer cache.SharedIndexInformer, changed func(any), deleted func(any)) {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: changed, UpdateFunc: func(_, object any) { changed(object) },
			DeleteFunc: func(object any) {
				if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
					object = unknown.Obj
				}
				deleted(object)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	handle(factory.Batch().V1().Jobs().Informer(), func(o any) { w.job(o.(*batchv1.Job), false, began) },
		func(o any) { w.job(o.(*batchv1.Job), true, began) })
	handle(factory.Coordination().V1().Leases().Informer(), func(o any) { w.lease(o.(*coordinationv1.Lease)) }, func(any) {})
	factory.StartWithContext(ctx)
	factory.WaitForCacheSyncWithContext(ctx)
	return w, factory.Shutdown
}

func (w *truth) job(o *batchv1.Job, deleted bool, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	j := w.byUID[string(o.UID)]
	if j == nil {
		j = &job{id: o.Name, created: o.Annotations[annotationCreated], seen: now, suspended: true}
		w.byUID[string(o.UID)] = j
		w.jobs = append(w.jobs, j)
	}
	note := func(what string) {
		j.story = append(j.story, fmt.Sprintf("%.2f s %s", now.Sub(began).Seconds(), what))
	}
	if j.suspended && !*o.Spec.Suspend {
		j.suspended = false
		note("runs")
	}
	if j.final == "" {
		if j.final = finalPhase(o); j.final == "" && deleted {
			j.final, j.byHand = failed, true
		}
		if j.final != "" {
			j.ended = now
			note(j.final)
		}
	}
	if deleted {
		j.gone = now
		note("is deleted")
	}
	w.countLocked(now.Sub(began))
}

func finalPhase(o *batchv1.Job) string {
	if o.Annotations[annotationCanceled] != "" {
		return canceled
	}
	for _, c := range o.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			return succeeded
		case c.Type == batchv1.JobFailed:
			return failed
		}
	}
	return ""
}

func (w *truth) countLocked(at time.Duration) {
	var running []string
	for _, j := range w.jobs {
		if !j.suspended && j.final == "" {
			running = append(running, j.id)
		}
	}
	if len(running) > maxParallel {
		w.tooMany = append(w.tooMany, fmt.Sprintf("%d run at %.2f s: %q", len(running), at.Seconds(), running))
	}
}

func (w *truth) lease(o *coordinationv1.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	holder := ""
	if o.Spec.HolderIdentity != nil {
		holder = *o.Spec.HolderIdentity
	}
	if len(w.leases) == 0 || w.leases[len(w.leases)-1].holder != holder {
		w.leases = append(w.leases, lease{holder, time.Now()})
	}
}

// holder returns who holds the Lease, and since when.
func (w *truth) holder() lease {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.leases) == 0 {
		return lease{}
	}
	return w.leases[len(w.leases)-1]
}

// snapshot returns copies of all Jobs, the ones that are gone as well.
func (w *truth) snapshot() []job {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]job, len(w.jobs))
	for i, j := range w.jobs {
		all[i] = *j
		all[i].story = slices.Clone(j.story)
	}
	return all
}

// some returns the names of the Jobs for which something is so.
func (w *truth) some(so func(*job) bool) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for _, j := range w.jobs {
		if so(j) {
			ids = append(ids, j.id)
		}
	}
	slices.Sort(ids)
	return ids
}

func active(j *job) bool { return j.final == "" }
