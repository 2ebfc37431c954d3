package kube

import "sync/atomic"

// Role is what this replica does for all replicas at the moment. Its Watch and its Leader set it. Make it first and hand it
// to both, and to all who read it. The zero value does nothing.
type Role struct {
	leads atomic.Bool
	// synced is true once the Tracker knows every object that exists.
	synced atomic.Bool
	// jobs and pods are how many watches of each are open.
	jobs, pods atomic.Int32
}

// Leads reports whether this replica holds the Lease.
func (r *Role) Leads() bool { return r.leads.Load() }

// Watches reports whether this replica's watch is live: the Tracker has synced, and the watches of Jobs and
// pods are open, so that what is known is as new as it can be.
func (r *Role) Watches() bool { return r.synced.Load() && r.jobs.Load() > 0 && r.pods.Load() > 0 }
