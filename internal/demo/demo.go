// Package demo is a simulated cluster inside this process, to try pullwatch with. It has an API server in memory, and plays
// the Job controller, the scheduler, the kubelets, the copiers and some applications that log. Words in an image's name
// decide what happens to its pull: see Behaviors.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"pullwatch/internal/demo/fakeapi"
	"pullwatch/internal/pull"
)

// keptSucceeded is how many succeeded pulls stay in the cluster. The demo ignores a Job's ttlSecondsAfterFinished, which would
// keep too many of them in memory.
const keptSucceeded = 200

// Options are the settings of a Cluster.
type Options struct {
	// ActivePulls is how many unfinished pulls Run keeps in the cluster, at least.
	ActivePulls int
	// Logger gets the errors of the simulation. It must not be nil.
	Logger *slog.Logger
}

// Cluster is the simulated cluster.
type Cluster struct {
	options Options
	api     *fakeapi.Server
	client  kubernetes.Interface
	census  *census

	// playing holds what stops each Job's simulation. Only the handler of Job events uses it.
	playing   map[types.UID]context.CancelFunc
	succeeded []*batchv1.Job
	actors    sync.WaitGroup
}

// New returns a cluster in which nothing happens before Run. The caller closes it.
func New(options Options) (*Cluster, error) {
	c := &Cluster{options: options, api: fakeapi.New(), census: newCensus(), playing: map[types.UID]context.CancelFunc{}}
	var err error
	if c.client, err = kubernetes.NewForConfig(c.api.Config()); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return c, nil
}

// Config returns the configuration for clients of the cluster.
func (c *Cluster) Config() *rest.Config { return c.api.Config() }

// Close ends all requests of clients. Call it when Run has returned.
func (c *Cluster) Close() { c.api.Close() }

// Run plays the cluster until ctx is done, and then returns nil. It calls start with at most 100 images to start their pulls:
// first pulls that seem to have ended within the last hour, then as many as Options.ActivePulls asks for. A nil start
// starts none.
func (c *Cluster) Run(ctx context.Context, start func(ctx context.Context, images []string) error) error {
	defer c.actors.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := cache.NewListWatchFromClient(c.client.BatchV1().RESTClient(), "jobs", metav1.NamespaceAll, fields.Everything())
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: jobs,
		ObjectType:    &batchv1.Job{},
		Transform:     withoutTemplate,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { c.jobChanged(ctx, obj.(*batchv1.Job)) },
			UpdateFunc: func(_, obj any) { c.jobChanged(ctx, obj.(*batchv1.Job)) },
			DeleteFunc: func(obj any) { c.jobDeleted(obj) },
		},
	})
	c.runApplications(ctx)
	if start != nil {
		c.actors.Go(func() { c.runTraffic(ctx, start) })
	}
	controller.RunWithContext(ctx)
	return nil
}

// withoutTemplate keeps only what the simulation needs of a Job. Thousands of them may wait in the queue.
func withoutTemplate(obj any) (any, error) {
	job, ok := obj.(*batchv1.Job)
	if !ok {
		return obj, nil
	}
	small := &batchv1.Job{Spec: batchv1.JobSpec{Suspend: job.Spec.Suspend}, Status: job.Status}
	small.Name, small.Namespace, small.UID = job.Name, job.Namespace, job.UID
	small.ResourceVersion, small.CreationTimestamp = job.ResourceVersion, job.CreationTimestamp
	for _, container := range job.Spec.Template.Spec.Containers {
		if container.Name == pull.ContainerName {
			small.Spec.Template.Spec.Containers = append(small.Spec.Template.Spec.Containers, container)
		}
	}
	return small, nil
}

// isPull reports whether a Job, as withoutTemplate left it, copies an image.
func isPull(job *batchv1.Job) bool { return len(job.Spec.Template.Spec.Containers) > 0 }

// jobChanged plays the part of the Job controller that decides what happens next to a Job.
func (c *Cluster) jobChanged(ctx context.Context, job *batchv1.Job) {
	if !isPull(job) {
		return
	}
	_, playing := c.playing[job.UID]
	suspended := job.Spec.Suspend != nil && *job.Spec.Suspend
	switch finished := finishedBy(job); {
	case finished != "":
		delete(c.playing, job.UID) // its simulation has ended, too
		if c.census.finish(job.UID) && finished == batchv1.JobComplete {
			c.retire(ctx, job)
		}
	case suspended:
		c.census.add(job.UID)
		if hasCondition(job, batchv1.JobSuspended) {
			return
		}
		c.complain(c.updateJob(ctx, job, func(status *batchv1.JobStatus) {
			setCondition(status, batchv1.JobSuspended, "JobSuspended", "Job suspended", time.Now())
		}))
	case !playing:
		c.census.add(job.UID)
		playCtx, stop := context.WithCancel(ctx)
		c.playing[job.UID] = stop
		c.actors.Go(func() {
			defer stop()
			c.complain(c.play(playCtx, job))
		})
	}
}

func (c *Cluster) jobDeleted(obj any) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	job := obj.(*batchv1.Job)
	if stop, ok := c.playing[job.UID]; ok {
		stop()
		delete(c.playing, job.UID)
	}
	c.census.finish(job.UID)
}

// retire adds a succeeded pull, and deletes the oldest one when there are too many.
func (c *Cluster) retire(ctx context.Context, job *batchv1.Job) {
	c.succeeded = append(c.succeeded, job)
	if len(c.succeeded) <= keptSucceeded {
		return
	}
	oldest := c.succeeded[0]
	c.succeeded = c.succeeded[1:]
	c.complain(c.deleteJob(ctx, oldest))
}

// complain logs an error, unless the object is gone or the cluster is ending.
func (c *Cluster) complain(err error) {
	if err == nil || isGone(err) || errors.Is(err, context.Canceled) {
		return
	}
	c.options.Logger.Error("demo cluster", "error", err)
}
