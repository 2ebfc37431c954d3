// Package kube is all of pullwatch that knows Kubernetes.
//
// A pull is a Job, and its state is a function of that Job, its pods and the copier's log (state.go). While it is demanded,
// a Watch follows Jobs and pods (watch.go, session.go) and fills a Tracker, which keeps the state of every pull and tells
// the feed what changed. Where several replicas share a feed, only the one that holds the Lease (leader.go) demands the
// watch, and the others stand in for it while the feed is away (standin.go). A watch begins where the last one stopped, so
// that what happened in between is told as well (present.go).
//
// Replicas see the Jobs, the pods and the logs at different moments, and each of the three ahead of or behind the others. A
// state's pull.Revision says how new each is, so that states of equal revisions are equal. A Tracker tells no state that is
// older in its Job or its pods than the known one, and before it has come to the present none but last ones. A last state is
// told from what is written on the Job, for which it waits a moment (hold.go).
//
// The leader also lets queued pulls start (queue.go), writes on each Job how its attempts ended, because pods go before
// their Job (record.go), and prunes history (history.go). Pulls starts, cancels, retries and finds pulls on any replica;
// Reader lists them. Logs of pods are the business of kube/podlogs.
package kube
