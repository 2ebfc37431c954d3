package graphqlhttp

import (
	"net/http"
	"runtime"
	"time"
)

// discards reads what clients still send after they were refused. If the server closed the connection instead, the client
// would lose the response. Reading costs the server as much as sending costs the client, so only few are read at a time.
type discards struct{ slots chan struct{} }

const (
	// maxDiscards is how many requests are read at a time. Others wait for discardTime at most.
	maxDiscards = 2
	discardTime = 2 * time.Second
	// discardPause is how long a client may send nothing. After that it is taken to wait for the response.
	discardPause = 10 * time.Millisecond
)

func newDiscards() discards { return discards{make(chan struct{}, maxDiscards)} }

// discard reads the rest of a request after its response has been written.
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
		runtime.Gosched() // requests that are not refused come first
	}
}
