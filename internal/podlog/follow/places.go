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
// has ended gives its place to the next one as soon as it has been read. So it comes before what runs.
type places struct {
	// notify tells the reader of the stream how many followers wait.
	notify func(waiting int)

	mu   sync.Mutex
	free int
	// ended and running are followers that wait for a place, the first one first.
	ended, running []*placeRequest
	// told means that the reader was told of those that wait.
	told bool
}

// placeRequest is a follower that waits for a place. granted is closed when it has one.
type placeRequest struct{ granted chan struct{} }

func newPlaces(notify func(waiting int)) *places {
	return &places{free: podlog.MaxOpenLogs, notify: notify}
}

// try takes a place if one is free.
func (p *places) try() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		return false
	}
	p.free--
	return true
}

// request asks for a place for a container that runs or has ended. The caller gets one, or calls withdraw.
func (p *places) request(running bool) *placeRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &placeRequest{granted: make(chan struct{})}
	if running {
		p.running = append(p.running, r)
	} else {
		p.ended = append(p.ended, r)
	}
	p.grantLocked()
	return r
}

// withdraw takes back a request, even if it has been granted.
func (p *places) withdraw(r *placeRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	isIt := func(other *placeRequest) bool { return other == r }
	p.ended, p.running = slices.DeleteFunc(p.ended, isIt), slices.DeleteFunc(p.running, isIt)
	select {
	case <-r.granted:
		p.free++
		p.grantLocked()
	default:
	}
}

// leave gives back a place.
func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
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

// tell tells the reader, once until nobody waits any more.
func (p *places) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waiting := len(p.ended) + len(p.running); waiting > 0 && !p.told {
		p.told = true
		p.notify(waiting)
	}
}

// tryPlace takes a place and the memory for reading a log, if a place is free. Its error is the budget's.
func (f *follower) tryPlace() error {
	if !f.places.try() {
		return nil
	}
	return f.occupy()
}

// awaitPlace takes a place when one is free. It returns without one when the container's status has changed: there may be
// nothing to read any more. Its error is the budget's or ctx's.
func (f *follower) awaitPlace(ctx context.Context) error {
	f.queue.Activate(f.container, false)
	request := f.places.request(f.isRunning())
	patience := time.NewTimer(placePatience)
	defer patience.Stop()
	for {
		select {
		case <-request.granted:
			return f.occupy()
		case <-f.status.changed:
			f.places.withdraw(request)
			return nil
		case <-patience.C:
			f.places.tell()
		case <-ctx.Done():
			f.places.withdraw(request)
			return ctx.Err()
		}
	}
}

// occupy takes the memory for a place that the follower has got.
func (f *follower) occupy() error {
	if err := f.account.Take(budget.Logs, f.plan.readerMemory()); err != nil {
		f.places.leave()
		return err
	}
	f.placed = true
	return nil
}

// leavePlace gives back the place, if the follower has one.
func (f *follower) leavePlace() {
	if !f.placed {
		return
	}
	f.placed = false
	f.account.Give(budget.Logs, f.plan.readerMemory())
	f.places.leave()
}

// notifyWaiting says that followers wait for a place.
func (fs *followers) notifyWaiting(waiting int) {
	fs.notify(podlog.Waiting, fmt.Sprintf("this stream reads %d logs, as many as one may have open at a time. Those of %d more "+
		"containers come when others have ended. %s", podlog.MaxOpenLogs, waiting, narrow))
}

// narrow says how a stream gets fewer containers.
const narrow = "To have fewer, give container, a more specific selector, or one pod"
