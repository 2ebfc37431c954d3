package kube

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// probeAfter is for how long nothing must have been heard of the API server, while a mutation waits for it, before Health probes
	// it.
	probeAfter = 500 * time.Millisecond
	// probeTimeout bounds a probe.
	probeTimeout = time.Second
)

// probe is a request that shows whether the API server answers. All mutations that wait for it share one. Whoever leaves last ends
// it.
type probe struct {
	waiting int
	cancel  context.CancelFunc
	sent    sync.WaitGroup
	// done is closed when there is a result.
	done chan struct{}
}

// probeWhileSilent probes the API server whenever nothing has been heard of it for probeAfter, until ctx is done. However many calls
// do so at a time, there is one probe at a time, and then none for probeAfter.
func (h *Health) probeWhileSilent(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		h.mu.Lock()
		heard := h.heard
		h.mu.Unlock()
		if began.After(heard) {
			heard = began
		}
		timer := time.NewTimer(time.Until(heard.Add(probeAfter)))
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
			h.probe(ctx)
		}
	}
}

// probe probes the API server, together with all who do so meanwhile, unless something was heard of it just now. It returns when
// there is a result, or ctx is done.
func (h *Health) probe(ctx context.Context) {
	p := h.joinProbe()
	if p == nil {
		return
	}
	defer h.leaveProbe(p)
	select {
	case <-p.done:
	case <-ctx.Done():
	}
}

// joinProbe returns the probe that is under way, or begins one. It returns nil if none is needed.
func (h *Health) joinProbe() *probe {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.probing
	if p == nil {
		if time.Since(h.heard) < probeAfter {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
		p = &probe{cancel: cancel, done: make(chan struct{})}
		p.sent.Go(func() { h.send(ctx, p) })
		h.probing = p
	}
	p.waiting++
	return p
}

func (h *Health) leaveProbe(p *probe) {
	h.mu.Lock()
	p.waiting--
	last := p.waiting == 0
	if last && h.probing == p {
		h.probing = nil
	}
	h.mu.Unlock()
	if last {
		p.cancel()
		p.sent.Wait()
	}
}

// send sends a probe. Any answer shows that the API server is there.
func (h *Health) send(ctx context.Context, p *probe) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url, nil)
	if err == nil {
		var response *http.Response
		if response, err = h.client.Do(request); err == nil {
			response.Body.Close()
		}
	}
	if ctx.Err() == context.Canceled {
		return // nobody waits for it any more
	}
	if err != nil {
		h.failed(failuresToAway, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = time.Now()
	if h.probing == p {
		h.probing = nil
	}
	close(p.done)
}
