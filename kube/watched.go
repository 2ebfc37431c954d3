package kube

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// watched is one kind of object that is watched.
type watched struct {
	listWatch
	name string
	// backlog is what the watch has still to tell of the past; arrived is closed once that is nothing. Both are made
	// anew by begin.
	backlog backlog
	arrived chan struct{}

	watches *atomic.Int32 // how many are open, in a Role
	opens   atomic.Int64
	opened  atomic.Int64 // when it was opened last, in Unix milliseconds
}

func newWatched(
	name string, open func(context.Context, metav1.ListOptions) (watch.Interface, error), watches *atomic.Int32, log *slog.Logger,
) *watched {
	k := &watched{name: name, watches: watches}
	broken := false
	k.options = metav1.ListOptions{LabelSelector: selector}
	k.open = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		inner, err := open(ctx, o)
		switch {
		case err != nil && ctx.Err() == nil && !broken:
			broken = true // and told once, however often it is tried
			log.Warn("the watch broke and is being taken up again", "resource", name, "error", err)
		case err == nil && broken:
			broken = false
			log.Info("the watch has been taken up again", "resource", name)
		}
		if err != nil {
			return nil, err
		}
		k.opens.Add(1)
		k.opened.Store(time.Now().UnixMilli())
		k.watches.Add(1)
		return &countedWatch{Interface: inner, count: k.watches}, nil
	}
	return k
}

// begin prepares a watch from the version of the list then, which arrives at the present with the list now.
func (k *watched) begin(then, now listObject) {
	k.backlog, k.arrived = newBacklog(then, now), make(chan struct{})
	k.reach(then.GetResourceVersion())
	k.checkArrival()
}

// tell notes that a change has been handed over.
func (k *watched) tell(kind watch.EventType, o metav1.Object) {
	k.backlog.tell(kind, o)
	k.checkArrival()
}

// skip notes that a list of the present has been handed over.
func (k *watched) skip() {
	k.backlog = nil
	k.checkArrival()
}

func (k *watched) checkArrival() {
	if len(k.backlog) > 0 {
		return
	}
	select {
	case <-k.arrived:
	default:
		close(k.arrived)
	}
}

func (k *watched) live() bool { return k.watches.Load() > 0 }

// countedWatch counts until it is stopped.
type countedWatch struct {
	watch.Interface
	count *atomic.Int32
	once  sync.Once
}

func (c *countedWatch) Stop() {
	c.once.Do(func() { c.count.Add(-1) })
	c.Interface.Stop()
}

// listObject is a list of objects.
type listObject interface {
	metav1.ListInterface
	runtime.Object
}

// backlog is what a watch of the past tells before it has arrived at the present: of each object that it has not yet
// told of as it is now, the version of that, or gone.
type backlog map[types.UID]uint64

const gone = math.MaxUint64

func newBacklog(then, now listObject) backlog {
	b := backlog{}
	if then == now {
		return b
	}
	each := func(list listObject, do func(metav1.Object)) {
		// Neither fails on lists of objects.
		_ = meta.EachListItem(list, func(o runtime.Object) error {
			object, err := meta.Accessor(o)
			if err == nil {
				do(object)
			}
			return err
		})
	}
	each(now, func(o metav1.Object) { b[o.GetUID()] = version(o) })
	each(then, func(o metav1.Object) {
		switch v, exists := b[o.GetUID()]; {
		case !exists:
			b[o.GetUID()] = gone
		case v <= version(o):
			delete(b, o.GetUID())
		}
	})
	return b
}

func (b backlog) tell(kind watch.EventType, o metav1.Object) {
	if v, behind := b[o.GetUID()]; behind && (kind == watch.Deleted || version(o) >= v) {
		delete(b, o.GetUID())
	}
}
