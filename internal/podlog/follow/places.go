package follow

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
)

// placePatience is how long a follower waits for a place before the reader learns of it.
const placePatience = 2 * time.Second

// places are those of one stream, podlog.MaxOpenLogs of them. A follower needs one while its container has a log to read. What
// is not followed gives its place to the next one as soon as it has been read. So it comes before what is.
type places struct {
	// notify tells the reader of the stream how many followers wait. It returns false if there is no room for that now.
	notify func(waiting int) bool

	mu   sync.Mutex
	free int
	// ended and running are followers that wait for a place, the first one first. The containers of running are followed.
	ended, running []*placeRequest
	// told means that the reader was told of those that wait.
	told bool
}

// placeRequest is a follower that waits for a place. granted is closed when it has one.
type placeRequest struct {
	running bool
	granted chan struct{}
}

func newPlaces(notify func(waiting int) bool) *places {
	return &places{free: podlog.MaxOpenLogs, notify: notify}
}

// request asks for a place for a container that is followed, or not. The caller calls withdraw when it does not need one any more.
func (p *places) request(running bool) *placeRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &placeRequest{running: running, granted: make(chan struct{})}
	if running {
		p.running = append(p.running, r)
	} else {
		p.ended = append(p.ended, r)
	}
	p.grantLocked()
	return r
}

// withdraw takes back a request, or the place that was granted.
func (p *places) withdraw(r *placeRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	isIt := func(other *placeRequest) bool { return other == r }
	p.ended, p.running = slices.DeleteFunc(p.ended, isIt), slices.DeleteFunc(p.running, isIt)
	select {
	case <-r.granted:
		p.free++
	default:
	}
	p.grantLocked()
}

func (p *places) grantLocked() {
	for _, queue := range []*[]*placeRequest{&p.ended, &p.running} {
		for p.free > 0 && len(*queue) > 0 {
			close((*queue)[0].granted)
			*queue = (*queue)[1:]
			p.free--
		}
	}
	p.told = p.told && len(p.ended)+len(p.running) > 0
}

// tell tells the reader, once until nobody waits any more. It returns false if the reader does not know yet.
func (p *places) tell() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting := len(p.ended) + len(p.running); waiting > 0 && !p.told {
		p.told = p.notify(waiting)
	}
	return p.told
}

// requestPlace asks for a place, and takes it if one is free. Its error is the budget's.
func (f *follower) requestPlace() error {
	f.request = f.places.request(f.isRunning())
	select {
	case <-f.request.granted:
		return f.occupy()
	default:
		return nil
	}
}

// awaitPlace takes a place for reading a run when one is free. It returns without one when the run's log cannot be read any more,
// or when the container is followed no longer. Its error is the budget's or ctx's.
func (f *follower) awaitPlace(ctx context.Context, run podlog.Run) error {
	f.queue.Activate(f.container, false)
	if f.request == nil {
		f.request = f.places.request(f.isRunning())
	}
	patience := time.NewTimer(placePatience)
	defer patience.Stop()
	for {
		if _, _, ok := f.status.get().find(run.ID); !ok || f.isRunning() != f.request.running {
			f.leavePlace()
			return nil
		}
		select {
		case <-f.request.granted:
			return f.occupy()
		case <-f.status.changed:
		case <-patience.C:
			if !f.places.tell() {
				patience.Reset(placePatience)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// occupy takes the memory for a place that the follower has got.
func (f *follower) occupy() error {
	if err := f.account.Take(budget.Logs, f.plan.readerMemory()); err != nil {
		return err
	}
	f.placed = true
	return nil
}

// leavePlace gives back the place that the follower has or waits for, if any.
func (f *follower) leavePlace() {
	if f.request == nil {
		return
	}
	f.places.withdraw(f.request)
	f.request = nil
	if f.placed {
		f.placed = false
		f.account.Give(budget.Logs, f.plan.readerMemory())
	}
}

// notifyWaiting says that followers wait for a place. It returns false if there is no room for that now.
func (fs *followers) notifyWaiting(waiting int) bool {
	return fs.notify(podlog.Waiting, fmt.Sprintf("this stream reads %d logs, as many as one may have open at a time. Those of %d more "+
		"containers come when others have ended. %s", podlog.MaxOpenLogs, waiting, narrow))
}

// narrow says how a stream gets fewer containers.
const narrow = "To have fewer, give container, a more specific selector, or one pod"
