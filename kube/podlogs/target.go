package podlogs

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
	"pullwatch/kube/listwatch"
)

// maxTargetPods bounds how many pods a target may have.
const maxTargetPods = 1000

// targetWatch keeps a podlog.Target's snapshot up to date.
type targetWatch struct {
	client  kubernetes.Interface
	target  podlog.Target
	deliver func(podlog.Snapshot)
	// relistPods asks for a new list of pods: when the Job is over, for the watch of pods may be behind, or when a CronJob has a
	// new Job, whose pods are then asked for, too.
	relistPods chan struct{}

	mu    sync.Mutex
	ready bool
	pods  map[types.UID]targetPod
	job   targetJob
	// cronJobs are the Jobs of the target's CronJob. It is nil when the target is none.
	cronJobs map[types.UID]cronJob
	// absences counts how often a pod was missing. lookup has a value when pods are.
	absences int
	lookup   chan struct{}
	// hadPods means that the selector has matched pods.
	hadPods bool
	// left has the UIDs of pods that were missing and exist, the latest last. It has at most maxTargetPods of them.
	left []types.UID
	// lost means that the target had pods and has none, and lostWhy says why once that was found out.
	lost    bool
	lostWhy string
	// podsFinal is true once the Job is over and pods were listed after that.
	podsFinal bool
	// away is true while the last request for pods has failed. recoveries counts successful requests after failed ones.
	away       bool
	recoveries int
}

type targetPod struct {
	podlog.Pod
	created    time.Time
	controller types.UID
	// terminating means that the pod is being deleted.
	terminating bool
	// missing, if it is not 0, is the number of the absence of a pod that is not shown any more, and may still exist.
	missing int
}

// targetJob is the target's Job: the first one of its name. Its uid is empty until there is one.
type targetJob struct {
	uid                       types.UID
	finished, gone, suspended bool
}

func (j targetJob) over() bool { return j.finished || j.gone }

// publish makes a change and, once the lists are there, delivers a snapshot.
func (w *targetWatch) publish(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	if w.ready {
		w.deliver(w.snapshot())
	}
}

func (w *targetWatch) snapshot() podlog.Snapshot {
	s := podlog.Snapshot{Final: w.podsFinal, Recoveries: w.recoveries}
	var found []targetPod
	for uid, pod := range w.pods {
		if w.owns(pod) {
			found = append(found, pod)
		} else {
			s.Left = append(s.Left, string(uid))
		}
	}
	for _, uid := range w.left {
		s.Left = append(s.Left, string(uid))
	}
	slices.SortFunc(found, func(a, b targetPod) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.Name, b.Name))
	})
	for _, pod := range found {
		s.Pods = append(s.Pods, pod.Pod)
	}
	if len(s.Pods) == 0 {
		s.Empty = w.whyEmpty()
	}
	return s
}

func (w *targetWatch) whyEmpty() string {
	switch t := w.target; {
	case w.lost:
		return w.lostWhy
	case t.Job == "":
		return w.noPods()
	case w.job.uid == "":
		return fmt.Sprintf("there is no job %s in namespace %s yet; check both names", t.Job, t.Namespace)
	case w.job.over():
		return fmt.Sprintf("job %s has finished and has no pods any more", t.Job)
	case w.job.suspended:
		return fmt.Sprintf("job %s is suspended; it gets a pod when it is resumed", t.Job)
	default:
		return fmt.Sprintf("job %s has no pod yet; its events tell whether a quota or an admission webhook refuses it",
			t.Job)
	}
}

// noPods says, for people, that a selector matches no pods, or that a workload has none.
func (w *targetWatch) noPods() string {
	t := w.target
	if t.Workload.Kind != "" {
		return fmt.Sprintf("%s in namespace %s has no pods", t.Workload, t.Namespace)
	}
	return fmt.Sprintf("no pod in namespace %s matches %s", t.Namespace, t.Selector)
}

func (w *targetWatch) podWatch() (*listwatch.ListWatch, error) {
	options := metav1.ListOptions{}
	switch t := w.target; {
	case t.Pod != "":
		options.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, t.Pod).String()
	case t.Job != "":
		options.LabelSelector = labels.Set{batchv1.JobNameLabel: t.Job}.String()
	default:
		selector, err := labels.Parse(t.Selector)
		if err != nil {
			return nil, usererr.New(usererr.BadInput, "selector: %v; expected something like app=api,tier!=db", err)
		}
		options.LabelSelector = selector.String()
	}
	return &listwatch.ListWatch{
		List:    w.listPods,
		Open:    w.openPods,
		Apply:   w.applyPod,
		Relist:  w.relistPods,
		Options: options,
	}, nil
}

func (w *targetWatch) listPods(ctx context.Context, options metav1.ListOptions) (string, error) {
	w.mu.Lock()
	jobOver := w.job.over()
	w.mu.Unlock()
	w.selectJobs(&options)
	options.Limit = maxTargetPods
	list, err := w.client.CoreV1().Pods(w.target.Namespace).List(ctx, options)
	w.answered(err)
	if err != nil {
		return "", err
	}
	if list.Continue != "" {
		return "", w.tooMany()
	}
	w.publish(func() {
		shown, names := map[types.UID]bool{}, map[string]bool{}
		for i := range list.Items {
			pod := &list.Items[i]
			w.take(pod)
			shown[pod.UID], names[pod.Name] = true, true
		}
		for uid, pod := range w.pods {
			switch {
			case shown[uid]:
			case names[pod.Name]:
				delete(w.pods, uid) // another one has taken its place
			default:
				w.hide(uid)
			}
		}
		w.left = slices.DeleteFunc(w.left, func(uid types.UID) bool { return shown[uid] })
		w.podsFinal = jobOver
		w.changed()
	})
	return list.ResourceVersion, nil
}

func (w *targetWatch) tooMany() error {
	switch t := w.target; {
	case t.Job != "":
		return usererr.New(usererr.LimitExceeded, "job %s has more than %d pods: follow fewer, with a selector or by their names",
			t.Job, maxTargetPods)
	case t.Workload.Kind != "":
		return usererr.New(usererr.LimitExceeded, "%s has more than %d pods: follow fewer, with a selector or by their names",
			t.Workload, maxTargetPods)
	default:
		return usererr.New(usererr.LimitExceeded, "more than %d pods match: give a more specific selector", maxTargetPods)
	}
}

func (w *targetWatch) openPods(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	w.selectJobs(&options)
	watcher, err := w.client.CoreV1().Pods(w.target.Namespace).Watch(ctx, options)
	w.answered(err)
	return watcher, err
}

// answered takes the error of a request for pods, and publishes a recovery.
func (w *targetWatch) answered(err error) {
	w.mu.Lock()
	recovered := w.away && err == nil
	w.away = err != nil
	w.mu.Unlock()
	if recovered {
		w.publish(func() { w.recoveries++ })
	}
}

func (w *targetWatch) applyPod(event watch.Event) {
	pod, ok := event.Object.(*corev1.Pod)
	if !ok {
		return
	}
	w.publish(func() {
		if event.Type == watch.Deleted {
			w.hide(pod.UID)
		} else {
			w.show(pod)
		}
		w.changed()
	})
}

func newTargetPod(pod *corev1.Pod) targetPod {
	t := targetPod{Pod: logPod(pod), created: pod.CreationTimestamp.Time, terminating: pod.DeletionTimestamp != nil}
	if owner := metav1.GetControllerOf(pod); owner != nil {
		t.controller = owner.UID
	}
	return t
}

func (w *targetWatch) jobWatch() *listwatch.ListWatch {
	name := fields.OneTermEqualSelector(metav1.ObjectNameField, w.target.Job).String()
	return &listwatch.ListWatch{
		List:    w.listJobs,
		Open:    w.client.BatchV1().Jobs(w.target.Namespace).Watch,
		Apply:   w.applyJob,
		Options: metav1.ListOptions{FieldSelector: name},
	}
}

func (w *targetWatch) listJobs(ctx context.Context, options metav1.ListOptions) (string, error) {
	list, err := w.client.BatchV1().Jobs(w.target.Namespace).List(ctx, options)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(list.Items, func(job batchv1.Job) bool { return job.Name == w.target.Job })
	if i >= 0 {
		w.setJob(&list.Items[i], false)
	} else {
		w.setJob(nil, true)
	}
	return list.ResourceVersion, nil
}

func (w *targetWatch) applyJob(event watch.Event) {
	if job, ok := event.Object.(*batchv1.Job); ok && job.Name == w.target.Job {
		w.setJob(job, event.Type == watch.Deleted)
	}
}

// setJob publishes a change of the Job. job is nil when a list did not have it.
func (w *targetWatch) setJob(job *batchv1.Job, gone bool) {
	w.publish(func() {
		wasOver := w.job.over()
		switch {
		case w.job.uid == "" && !gone:
			w.job.uid = job.UID
		case w.job.uid == "":
			return
		case job == nil || job.UID != w.job.uid:
			gone = true
		}
		w.job.gone = w.job.gone || gone
		if !w.job.gone {
			w.job.suspended = job.Spec.Suspend != nil && *job.Spec.Suspend
			w.job.finished = jobFinished(job)
		}
		if w.job.over() && !wasOver {
			w.relist()
		}
	})
}

// relist asks for a new list of pods, unless the first one is still to come. mu is held.
func (w *targetWatch) relist() {
	if !w.ready {
		return
	}
	select {
	case w.relistPods <- struct{}{}:
	default:
	}
}

// jobFinished reports whether the Job has ended by itself.
func jobFinished(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}
