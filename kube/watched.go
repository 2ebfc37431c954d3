package kube

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"pullwatch/kube/listwatch"
	"pullwatch/kube/pullstate"
)

// watched is the watch of one resource: Jobs or pods.
type watched struct {
	listwatch.ListWatch
	name string
	// backlog holds the past changes that the watch has still to bring. caughtUp is closed once there are none. begin makes both
	// anew.
	backlog  backlog
	caughtUp chan struct{}

	watches *atomic.Int32 // how many are open, in a Role
	opens   atomic.Int64
	opened  atomic.Int64 // the time of the last open, in Unix milliseconds
}

func newWatched(
	name string, open func(context.Context, metav1.ListOptions) (watch.Interface, error), watches *atomic.Int32, logger *slog.Logger,
) *watched {
	k := &watched{name: name, watches: watches}
	broken := false
	k.Options = metav1.ListOptions{LabelSelector: selector}
	k.Open = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		inner, err := open(ctx, o)
		refused := apierrors.IsForbidden(err)
		switch {
		case err != nil && ctx.Err() == nil && !broken && refused:
			broken = true // logged once, however often it is tried
			logger.Warn("Kubernetes refuses the watch, so changes are listed every few seconds instead", "resource", name, "error", err)
		case err != nil && ctx.Err() == nil && !broken:
			broken = true
			logger.Warn("the watch broke and is being taken up again", "resource", name, "error", err)
		case err == nil && broken:
			broken = false
			logger.Info("the watch has been taken up again", "resource", name)
		}
		if refused {
			// Without it the states would stay as they are. An error is the next try's, too.
			_ = k.Start(ctx)
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

// begin prepares a watch that starts at the list then. It has caught up once it has brought what differs in the list now.
func (k *watched) begin(then, now listObject) {
	k.backlog, k.caughtUp = newBacklog(then, now), make(chan struct{})
	k.Reach(then.GetResourceVersion())
	k.checkCaughtUp()
}

// deliver notes that the Tracker has a change.
func (k *watched) deliver(kind watch.EventType, o metav1.Object) {
	k.backlog.deliver(kind, o)
	k.checkCaughtUp()
}

// skipBacklog notes that the Tracker has a list of the present.
func (k *watched) skipBacklog() {
	k.backlog = nil
	k.checkCaughtUp()
}

func (k *watched) checkCaughtUp() {
	if len(k.backlog) > 0 {
		return
	}
	select {
	case <-k.caughtUp:
	default:
		close(k.caughtUp)
	}
}

func (k *watched) live() bool { return k.watches.Load() > 0 }

// countedWatch is counted until it is stopped.
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

// backlog holds the objects that a watch of the past has yet to bring: the present resourceVersion of each, or gone.
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
	each(now, func(o metav1.Object) { b[o.GetUID()] = pullstate.Version(o) })
	each(then, func(o metav1.Object) {
		switch v, exists := b[o.GetUID()]; {
		case !exists:
			b[o.GetUID()] = gone
		case v <= pullstate.Version(o):
			delete(b, o.GetUID())
		}
	})
	return b
}

func (b backlog) deliver(kind watch.EventType, o metav1.Object) {
	if v, behind := b[o.GetUID()]; behind && (kind == watch.Deleted || pullstate.Version(o) >= v) {
		delete(b, o.GetUID())
	}
}
