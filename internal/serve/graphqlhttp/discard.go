package graphqlhttp

import (
	"net/http"
	"runtime"
	"time"
)

// discards read what clients still send when they have been refused. If a connection was closed over that, its client
// would lose the answer. But reading costs the server as much as sending costs the client, so few do it at a time.
type discards struct{ slots chan struct{} }

const (
	// maxDiscards is how many requests are discarded at a time. Others wait for that, for discardTime at most.
	maxDiscards = 2
	discardTime = 2 * time.Second
	// discardPause is for how long a client may send nothing before it counts as one that waits for the answer.
	discardPause = 10 * time.Millisecond
)

func newDiscards() discards { return discards{make(chan struct{}, maxDiscards)} }

// discard reads the rest of a request, which has been answered.
func (d discards) discard(e *exchange) {
	controller := http.NewResponseController(e.w)
	if controller.Flush() != nil {
		return // the client is gone
	}
	end := time.Now().Add(discardTime)
	patience := time.NewTimer(discardTime)
	defer patience.Stop()
	select {
	case d.slots <- struct{}{}:
	case <-patience.C:
		return
	}
	defer func() { <-d.slots }()
	chunk := takeBuffer()
	defer chunk.put()
	for rest := e.transport.options.BodyLimit; rest > 0 && time.Now().Before(end); {
		if controller.SetReadDeadline(time.Now().Add(discardPause)) != nil {
			return
		}
		n, err := e.r.Body.Read(chunk.bytes[:cap(chunk.bytes)])
		if err != nil {
			return
		}
		rest -= int64(n)
		runtime.Gosched() // others have requests that are answered
	}
}
