// Package kube is all of pullwatch that knows Kubernetes, but for the logs of pods, which are in kube/podlogs.
//
// A pull is a Job. The way of a change is: Watch (watch.go, session.go) follows Jobs and pods; Tracker (observe.go,
// tracker.go) keeps the objects of each pull and asks kube/pullstate for the state that they make; what is new goes to the
// Feed. CopierLogs adds what the copiers write.
//
// A Watch runs while somebody demands it. Where several replicas share a feed, only the one that holds the Lease (leader.go)
// does, and the others stand in for it while the feed is away (standin.go). A Watch begins where the last one stopped, so that
// what happened in between is published as well (session.go, sync.go).
//
// Replicas see the Jobs, the pods and the logs at different moments, and each of the three may be ahead of the others. A
// state's pull.Revision says how new each is; states of equal revisions are equal. A Tracker publishes no state that is older
// in its Job or its pods than the feed's. Until it has synced it publishes final states only. A final state waits a moment
// until the leader has written on the Job how the pull ended (delay.go): then all replicas publish the same.
//
// The leader also starts queued pulls (queue.go), writes on each Job how its attempts ended, because pods go before their Job
// (record.go), and prunes history (history.go). Pulls starts, cancels, retries and finds pulls on any replica; Reader lists
// them.
package kube
