package kube

import (
	"errors"
	"sync/atomic"
)

// Role is what this replica does for all replicas at the moment. Its Watch, its Leader and its Pulls set it. Make it first and hand it
// to them, and to all who read it. The zero value does nothing.
type Role struct {
	leads atomic.Bool
	// synced is true once the Tracker knows every object that exists.
	synced atomic.Bool
	// jobs and pods are how many watches of each are open.
	jobs, pods atomic.Int32
	// unread is why the pulls in the cluster could not be read the last time; it holds nil, or nothing, once they were.
	unread atomic.Value
	// forbidden is what Kubernetes said when it last refused this replica, which leads, to start a pull and to write that on its Job;
	// nil once it has started one.
	forbidden atomic.Pointer[string]
	lease     leaseView
	// slowed is in how many ways the leader slows pulls down, 0 on other replicas.
	slowed atomic.Int32
}

// Leads reports whether this replica holds the Lease.
func (r *Role) Leads() bool { return r.leads.Load() }

// Watches reports whether this replica's watch is live: the Tracker has synced, and the watches of Jobs and
// pods are open, so that what is known is as new as it can be.
func (r *Role) Watches() bool { return r.synced.Load() && r.jobs.Load() > 0 && r.pods.Load() > 0 }

// Unread returns why the pulls in the cluster could not be read, nil if they were, or if it was not tried.
func (r *Role) Unread() error {
	err, _ := r.unread.Load().(readResult)
	return err.err
}

// readResult wraps an error for an atomic.Value, whose values have to be of one type.
type readResult struct{ err error }

func (r *Role) setUnread(err error) { r.unread.Store(readResult{err}) }

// Leader returns who holds the Lease and renews it; empty if nobody is known to.
func (r *Role) Leader() string {
	holder, _ := r.lease.holder()
	return holder
}

// Obstacle returns an error, for people, that says what keeps all queued pulls waiting: nobody is known to lead for longer than it
// takes until another replica does, or this one leads and may start none. It is nil if nothing does.
func (r *Role) Obstacle() error {
	if r.Leads() {
		if words := r.forbidden.Load(); words != nil {
			return errors.New("Kubernetes does not let pullwatch start pulls: " + *words)
		}
		return nil
	}
	holder, vacant := r.lease.holder()
	switch words := r.lease.refused(); {
	case holder != "" || (vacant < LongestTakeover && words == ""):
		return nil
	case words != "":
		return errors.New("no server is known to lead, and Kubernetes refuses this one the Lease that it needs for that: " + words)
	}
	return errors.New("no server is known to lead at the moment")
}
