// Package kube is all of pullwatch that knows Kubernetes. Its subpackage podlogs reads the logs of any pods.
//
// A pull is a Job, and each pod of the Job is one attempt. A change takes this way: a Watch (watch.go, session.go) follows Jobs
// and pods. A Tracker (observe.go, tracker.go) keeps the objects of each pull and asks kube/pullstate for the state that they
// make. It publishes new states to its Feed. CopierLogs (copierlog.go) adds what the copiers write to their pod logs.
//
// A Watch runs while somebody demands it. Where several replicas share a log of states, only the leader demands it: the replica
// that holds the Lease (leader.go, term.go). The others demand a watch of their own while the shared log is away (standin.go).
// A Watch begins where the last one stopped, so that what happened in between is published as well (session.go, sync.go).
//
// Replicas see the Jobs, the pods and the pod logs at different moments, and each of the three may be ahead of the others. A
// state's pull.Revision says how new each is; states of equal revisions are equal. A Tracker publishes no state that is older
// in its Job or its pods than the feed's. Until it has synced it publishes final states only. A final state waits a moment
// until the leader has written on the Job how the pull ended (delay.go): then all replicas publish the same.
//
// The leader also starts queued pulls, the oldest first (queue.go), each Job at its own pace if something keeps it from running
// (pace.go, hindrance.go); those that cannot start make room for others (yield.go). Pulls can be held (hold.go) and the queue paused
// (queuestate.go), and the leader slows it down where pulls fail for what is not their fault (slowdown.go). It writes on each Job how its
// attempts ended, because pods are deleted before their Job (record.go), and what keeps a pod from starting that only events tell
// (warnings.go); on queued ones, what is to be said of the queue (notice.go). It ends the Jobs of
// copied images that other containers keep (settle.go). And it deletes the Jobs of old pulls (history.go).
//
// Pulls starts (start.go), retries (retry.go), cancels (cancel.go) and finds (find.go) pulls on any replica. The Job of a pull
// is made in job.go and template.go, its name in jobname.go. Of two pulls of one route one is given up (duplicate.go, look.go). Reader (reader.go) lists all pulls.
package kube
