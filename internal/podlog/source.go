package podlog

import (
	"context"
	"errors"
	"io"
	"time"
)

// Source is where pods and their logs come from. An error that is a usererr.Error ends the stream and reaches the caller.
type Source interface {
	// WatchPods calls deliver with the target's pods now, and again after each change and recovery, one call after the other. It
	// goes on when connections break. It returns ctx's error when ctx ends, or the reason why it cannot go on. At the start
	// that may also be a cluster out of reach (UNAVAILABLE), for which it waits a bounded time, or an invalid target
	// (BAD_INPUT). It never calls deliver after it has returned.
	WatchPods(ctx context.Context, target Target, deliver func(Snapshot)) error
	// OpenLog opens the log of one container. Each line starts with its RFC 3339 timestamp and a space. Text without one is what
	// the node says, in place of the log or of the rest of it. If req.Follow is set,
	// OpenLog may block until the first line. ctx ends both OpenLog and reading. The caller closes the log. ErrNoLog and
	// ErrGone say that there is no log. After any other error that is no usererr.Error, another request may succeed.
	OpenLog(ctx context.Context, req LogRequest) (io.ReadCloser, error)
}

// Errors of Source.OpenLog.
var (
	// ErrNoLog means that the container, or its previous run, has no log now.
	ErrNoLog = errors.New("container has no log")
	// ErrGone means that the pod does not exist any more.
	ErrGone = errors.New("pod is gone")
	// ErrUnknown means that the pod's node does not know the pod: the node has just started, or it has removed the pod, which
	// the watch will show soon.
	ErrUnknown = errors.New("pod is unknown to its node")
)

// Target says which pods to watch: one pod, a Job's, a workload's, or those that a label selector matches. Exactly one of Pod,
// Job, Workload and Selector is set, unless an empty Selector stands for every pod of the namespace.
type Target struct {
	Namespace, Pod, Job, Selector string
	Workload                      Workload
}

// Workload names what pods are made for. The pods of a CronJob are those of its Jobs, and those of the others are all that its
// selector matches. The zero Workload is none.
type Workload struct {
	// Kind is one of the kinds below.
	Kind, Name string
}

// Kinds of workloads.
const (
	Deployment  = "deployment"
	StatefulSet = "statefulset"
	DaemonSet   = "daemonset"
	CronJob     = "cronjob"
)

func (w Workload) String() string { return w.Kind + " " + w.Name }

// Snapshot is the pods of a target at one moment.
type Snapshot struct {
	// Pods are ordered by the time of their creation.
	Pods []Pod
	// Left has the UIDs of pods that were of the target, still exist, and are of the target no longer: a selector does not
	// match them any more, or they were taken from their Job. All other pods that are missing from Pods were deleted.
	Left []string
	// Final is set when no pod will be added: the Job has finished or is gone.
	Final bool
	// Empty says, for people, why Pods is empty. It is empty itself until that is known.
	Empty string
	// Recoveries counts how often the cluster has answered again after a failure. Requests that failed before are then worth
	// making again.
	Recoveries int
}

// Pod is one pod and its containers: init containers first, ephemeral ones last.
type Pod struct {
	Name, UID  string
	Containers []Container
	// Finished means that no container of the pod will run again.
	Finished bool
	// Reason says why the pod has failed or is being removed, in the cluster's words, such as "Evicted: The node was low on
	// resource: memory." It is empty when the cluster gives no reason.
	Reason string
}

// Container is the status of a container. A zero Run stands for none.
type Container struct {
	Name string
	// Run is the current run, whose log a request gives: the one that goes on, or else the last one.
	Run Run
	// Previous is the run whose log a request with LogRequest.Previous gives.
	Previous Run
	// Waiting says why the container does not run, such as "ImagePullBackOff: …". It is empty while the container runs, and
	// when it will not run again.
	Waiting string
	// Looping means that it waits because its runs end again and again.
	Looping bool
	// NeverRan says why the container has not run in a pod that is finished. It is empty for all other containers.
	NeverRan string
}

// Run is one run of a container, from its start to its exit.
type Run struct {
	// ID is the container runtime's ID of the run, and unique.
	ID string
	// Restarts is how many runs of the container came before.
	Restarts int
	// Started is when the run began, cut to the second or finer; zero when that is not known.
	Started time.Time
	Running bool
	// ExitCode and Reason are set when the run has ended.
	ExitCode int
	// NeverStarted means that the run ended before a process started, so that it may have no log.
	NeverStarted bool
	// Lost means that the node has lost the container, and its log with it.
	Lost   bool
	Reason string
	// Message says why a run has never started or was lost, in the cluster's words.
	Message string
}

// LogRequest says which log to open, and from where.
type LogRequest struct {
	Namespace, Pod, Container string
	// Run is the ID of the run whose log is wanted. A cluster does not look at it: it gives the log of the run that is the
	// current or the previous one at that moment. A Source that shares logs compares it to find requests for the same log.
	Run              string
	Follow, Previous bool
	// Ended means that the run has ended: its log will not grow.
	Ended bool
	// Tail is how many last lines to begin with; nil means all. A cluster counts a line that it stores in parts as several, and
	// may begin within it.
	Tail *int
	// Since leaves out lines with an earlier timestamp, when it is not zero. A Source may cut it to the second.
	Since time.Time
}
