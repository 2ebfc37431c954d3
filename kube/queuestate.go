package kube

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
)

// annotationQueue holds a queueState in JSON. It is on the Lease: every replica reads that about once a second, and may write it.
const annotationQueue = pullstate.Prefix + "queue"

// queueState is what people have decided about the whole queue.
type queueState struct {
	// Paused is nil while queued pulls may start.
	Paused *queuePause `json:"paused,omitempty"`
}

// queuePause says that no queued pull starts.
type queuePause struct {
	// Reason is what pull.ParsePauseReason returned.
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// readQueueState returns what stands on a Lease, the zero queueState when that cannot be read.
func readQueueState(lease *coordinationv1.Lease) queueState {
	var s queueState
	if text := lease.Annotations[annotationQueue]; text == "" || json.Unmarshal([]byte(text), &s) != nil {
		return queueState{}
	}
	return s
}

// queue returns the state as clients see it.
func (s queueState) queue() *pull.Queue {
	if s.Paused == nil {
		return &pull.Queue{}
	}
	return &pull.Queue{Paused: true, Reason: &s.Paused.Reason, Since: &s.Paused.Since}
}

// message returns what every queued pull says while the queue is paused, and nothing otherwise.
func (s queueState) message() string {
	if s.Paused == nil {
		return ""
	}
	return "The queue is paused: " + strings.TrimSuffix(s.Paused.Reason, ".") + ". resumeQueue lets it go on."
}

// PauseQueue keeps all queued pulls from starting, on every replica, until ResumeQueue. Those that have left the queue go on. The
// reason of a queue that is paused already is replaced. A reason that is not fit to be shown is a usererr.BadInput.
func (p *Pulls) PauseQueue(ctx context.Context, reason string) (*pull.Queue, error) {
	reason, err := pull.ParsePauseReason(reason)
	if err != nil {
		return nil, err
	}
	return p.changeQueue(ctx, "pause the queue", func(s *queueState) {
		since := time.Now().UTC()
		if s.Paused != nil {
			since = s.Paused.Since
		}
		s.Paused = &queuePause{Reason: reason, Since: since}
	})
}

// ResumeQueue lets queued pulls start again.
func (p *Pulls) ResumeQueue(ctx context.Context) (*pull.Queue, error) {
	return p.changeQueue(ctx, "resume the queue", func(s *queueState) { s.Paused = nil })
}

// changeQueue changes what stands on the Lease. what completes the sentence "pullwatch cannot …".
func (p *Pulls) changeQueue(ctx context.Context, what string, change func(*queueState)) (*pull.Queue, error) {
	return guarded(ctx, p, what, func(ctx context.Context) (*pull.Queue, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		for {
			lease, err := p.getLease(ctx)
			if err != nil {
				return nil, err
			}
			state := readQueueState(lease)
			change(&state)
			text, err := json.Marshal(state)
			if err != nil {
				return nil, err
			}
			metav1.SetMetaDataAnnotation(&lease.ObjectMeta, annotationQueue, string(text))
			// A leader that renews the Lease at the same moment wins.
			lease, err = p.leases.Update(ctx, lease, metav1.UpdateOptions{})
			if apierrors.IsConflict(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			p.role.lease.observeQueue(lease, p.logger)
			return state.queue(), nil
		}
	})
}

// Queue returns whether the queue is paused, as this replica knows it: it reads that within about two seconds.
func (p *Pulls) Queue(ctx context.Context) (*pull.Queue, error) {
	if state, known := p.role.lease.queue(); known {
		return state.queue(), nil
	}
	return guarded(ctx, p, "read the state of the queue", func(ctx context.Context) (*pull.Queue, error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		lease, err := p.getLease(ctx)
		if err != nil {
			return nil, err
		}
		return readQueueState(lease).queue(), nil
	})
}

// getLease reads the Lease, which exists once a replica has led.
func (p *Pulls) getLease(ctx context.Context) (*coordinationv1.Lease, error) {
	lease, err := p.leases.Get(ctx, leaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, usererr.New(usererr.Unavailable, "no server has led yet, so there is no queue; try again in a moment")
	}
	return lease, err
}
