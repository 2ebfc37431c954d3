package podlog

import (
	"context"
	"errors"
	"io"
	"time"
)

// Source is where pods and their logs come from. Its errors that are a usererr.Error end the stream and reach the
// caller.
type Source interface {
	// WatchPods calls deliver with what the target has now, and again after each change and recovery, never twice at a time. It
	// outlives broken connections and returns when ctx ends, with ctx's error, or when it cannot go on: at the start
	// also because the cluster is out of reach (UNAVAILABLE) or the target is invalid (BAD_INPUT). It never calls
	// deliver after it has returned. Waiting for a cluster that does not answer is bounded at the start.
	WatchPods(ctx context.Context, target Target, deliver func(Snapshot)) error
	// OpenLog opens the log of one container. Each line starts with its RFC 3339 timestamp and a space. For a
	// follow request it may block until the first line; ctx ends both OpenLog and reading. The caller closes the
	// log. ErrNoLog and ErrGone say that there is none; any other error that is no usererr.Error may pass.
	OpenLog(ctx context.Context, req LogRequest) (io.ReadCloser, error)
}

// Errors of Source.OpenLog.
var (
	// ErrNoLog means that the container, or its previous run, has no log now.
	ErrNoLog = errors.New("container has no log")
	// ErrGone means that the pod does not exist any more.
	ErrGone = errors.New("pod is gone")
	// ErrUnknown means that the pod's node does not know it: the node has just started, or has removed the pod, which
	// the watch is about to show. It may pass.
	ErrUnknown = errors.New("pod is unknown to its node")
)

// Target says which pods to watch: one pod, a Job's, or those that a label selector matches. Exactly one of Pod, Job
// and Selector is set, unless an empty Selector stands for every pod of the namespace.
type Target struct {
	Namespace, Pod, Job, Selector string
}

// Snapshot is what a target has at one moment.
type Snapshot struct {
	// Pods are ordered by the time of their creation.
	Pods []Pod
	// Final is set when no pod will be added: the Job has finished or is gone.
	Final bool
	// Empty says, for people, why Pods is empty.
	Empty string
	// Recoveries counts how often the cluster has answered again after it had not: what failed before is worth another
	// attempt then.
	Recoveries int
}

// Pod is one pod and its containers: init containers first, ephemeral ones last.
type Pod struct {
	Name, UID  string
	Containers []Container
	// Finished means that no container of the pod will run again.
	Finished bool
}

// Container is where a container stands. A zero Run stands for none.
type Container struct {
	Name string
	// Run is the run whose log a request gives now: the one that goes on, or else the last.
	Run Run
	// Previous is the run whose log a request for the previous one gives.
	Previous Run
	// Waiting says why the container does not run, such as "ImagePullBackOff: …"; empty while it runs and when it
	// has ended for good.
	Waiting string
}

// Run is one run of a container, from its start to its exit.
type Run struct {
	// ID is the container runtime's, unique to the run.
	ID string
	// Restarts is how many runs of the container came before.
	Restarts int
	// Started is when it was started, cut to the second or finer; zero when that is not known.
	Started time.Time
	Running bool
	// ExitCode and Reason are set when it has ended.
	ExitCode int
	// NeverStarted means that it ended before anything ran, so that it may have no log.
	NeverStarted bool
	Reason       string
}

// LogRequest says which log to open, and from where.
type LogRequest struct {
	Namespace, Pod, Container string
	// Run is the ID of the run whose log is wanted. A cluster gives that of the current run, or of the previous one,
	// whichever that is by then; a source that shares logs knows by it which requests want the same one.
	Run              string
	Follow, Previous bool
	// Ended means that the run has ended: its log will not grow.
	Ended bool
	// Tail is how many last lines to begin with; nil means all.
	Tail *int
	// Since leaves out earlier lines, when it is not zero. A source may cut it to the second.
	Since time.Time
}
