package e2e

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// playerWorkers is how many Jobs are changed at a time.
const playerWorkers = 4

// jobPlayer is the Job controller of a namespace: its Jobs run no pods, and end as the test says. So hundreds of pulls can end on
// a machine that could not run as many pods.
type jobPlayer struct {
	client    *kubernetes.Clientset
	namespace string
	jobs      cache.SharedIndexInformer
	queue     workqueue.TypedRateLimitingInterface[string]

	mu      sync.Mutex
	endings map[string]batchv1.JobConditionType
}

// playJobs takes over the Jobs that are made in namespace from now on.
func playJobs(t *testing.T, namespace string) *jobPlayer {
	t.Helper()
	unlimited := rest.CopyConfig(env.Config)
	unlimited.QPS = -1
	client, err := kubernetes.NewForConfig(unlimited)
	if err != nil {
		t.Fatal(err)
	}
	p := &jobPlayer{
		client: client, namespace: namespace, endings: map[string]batchv1.JobConditionType{},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, time.Second)),
	}
	keepFromController(t, client, namespace)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	p.jobs = factory.Batch().V1().Jobs().Informer()
	enqueue := func(object any) { p.queue.Add(object.(*batchv1.Job).Name) }
	_, err = p.jobs.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var playing sync.WaitGroup
	playing.Go(func() { p.jobs.RunWithContext(ctx) })
	for range playerWorkers {
		playing.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		p.queue.ShutDown()
		playing.Wait()
	})
	return p
}

// end lets a Job end as soon as it has left the queue: with batchv1.JobComplete or batchv1.JobFailed.
func (p *jobPlayer) end(job string, as batchv1.JobConditionType) {
	p.mu.Lock()
	p.endings[job] = as
	p.mu.Unlock()
	p.queue.Add(job)
}

// remove deletes a Job by hand, without pullwatch.
func (p *jobPlayer) remove(t *testing.T, job string) {
	t.Helper()
	background := metav1.DeletePropagationBackground
	err := p.client.BatchV1().Jobs(p.namespace).Delete(t.Context(), job, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil {
		t.Error(err)
	}
}

// running counts the Jobs that run.
func (p *jobPlayer) running() int {
	n := 0
	_ = cache.ListAll(p.jobs.GetIndexer(), labels.Everything(), func(object any) {
		if job := object.(*batchv1.Job); job.Status.StartTime != nil && !isFinished(job) {
			n++
		}
	})
	return n
}

// done reports whether all Jobs that the test let end have ended, or are gone.
func (p *jobPlayer) done() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.endings {
		object, exists, err := p.jobs.GetIndexer().GetByKey(p.namespace + "/" + name)
		if err == nil && exists && !isFinished(object.(*batchv1.Job)) {
			return false
		}
	}
	return true
}

func (p *jobPlayer) next(ctx context.Context) bool {
	name, closed := p.queue.Get()
	if closed {
		return false
	}
	defer p.queue.Done(name)
	if err := p.play(ctx, name); err != nil && !apierrors.IsNotFound(err) {
		p.queue.AddRateLimited(name)
		return true
	}
	p.queue.Forget(name)
	return true
}

// play takes a Job one step further, if there is one to take.
func (p *jobPlayer) play(ctx context.Context, name string) error {
	object, exists, err := p.jobs.GetIndexer().GetByKey(p.namespace + "/" + name)
	if err != nil || !exists {
		return err
	}
	job := object.(*batchv1.Job)
	p.mu.Lock()
	ending := p.endings[name]
	p.mu.Unlock()
	status := batchv1.JobStatus{}
	now := metav1.Now()
	switch {
	case *job.Spec.Suspend || isFinished(job):
		return nil
	case job.Status.StartTime == nil:
		status.StartTime = &now
	case ending == batchv1.JobComplete:
		status.Succeeded, status.CompletionTime = 1, &now
		status.Conditions = conditions(now, "CompletionsReached", batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	case ending == batchv1.JobFailed:
		status.Conditions = conditions(now, "BackoffLimitExceeded", batchv1.JobFailureTarget, batchv1.JobFailed)
	default:
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	_, err = p.client.BatchV1().Jobs(p.namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

func conditions(now metav1.Time, reason string, types ...batchv1.JobConditionType) []batchv1.JobCondition {
	var all []batchv1.JobCondition
	for _, kind := range types {
		all = append(all, batchv1.JobCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: "The test says so.",
			LastTransitionTime: now, LastProbeTime: now,
		})
	}
	return all
}
