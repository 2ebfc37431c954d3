package pullstate

import (
	batchv1 "k8s.io/api/batch/v1"

	"pullwatch/internal/pull"
)

// Scope says which pulls meet the same trouble: those that copy from a registry, or to one. The zero Scope has all pulls.
type Scope struct {
	// Side is the end of the copy at which Registry is; empty for all pulls.
	Side     pull.Side
	Registry string
}

// Has reports whether a pull belongs to the scope.
func (s Scope) Has(id Identity) bool {
	switch s.Side {
	case pull.SourceSide:
		return id.Image.Registry == s.Registry
	case pull.DestinationSide:
		return id.Destination.Registry == s.Registry
	}
	return true
}

// Cause is why a pull failed when that is not its own fault: the others of the scope would fail for the same.
type Cause struct {
	Scope
	Reason pull.FailureReason
}

// SharedCause returns why the pull of a Job has failed, nil if it has not, or if that may be its own fault. It is made from what
// stands on the Job alone.
func SharedCause(id Identity, job *batchv1.Job) *Cause {
	rec := ReadRecord(job)
	if _, givenUp := GivenUp(job); rec == nil || givenUp || !Failed(job) {
		return nil
	}
	out := &rec.Outcome
	if why := rec.unstarted(); why != nil {
		out = why
	}
	switch out.Reason {
	case pull.Network, pull.TLS, pull.RateLimited, pull.Timeout, pull.Unknown:
		// Without a side it is not known whose fault it is.
	case pull.DiskFull: // without a side it is the node's disk
		if out.Side == "" {
			return &Cause{Reason: out.Reason}
		}
	case pull.Quota, pull.Unschedulable, pull.Volume, pull.Node, pull.OtherContainer, pull.CopierImage: // all pods are alike
		return &Cause{Reason: out.Reason}
	default:
		return nil
	}
	switch out.Side {
	case pull.SourceSide:
		return &Cause{Scope{out.Side, id.Image.Registry}, out.Reason}
	case pull.DestinationSide:
		return &Cause{Scope{out.Side, id.Destination.Registry}, out.Reason}
	}
	return nil
}
