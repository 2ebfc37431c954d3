// Package kube is all of pullwatch that knows Kubernetes.
//
// A pull is a Job, and its state is a function of that Job, its pods and the copier's log (state.go). Every replica
// watches Jobs and pods (watch.go) into a Tracker, which keeps the state of every pull and tells the feed what changed.
// The replica that holds the Lease (leader.go) also lets queued pulls start (queue.go), writes on each Job how its
// attempts ended, because pods go before their Job (record.go), and prunes history (history.go). Pulls starts, cancels
// and retries them; Reader lists them; PodLogs opens the logs of any pod.
package kube
