package sharedlog

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Run reads and writes the log until ctx is done, and closes the client. Its error is always nil.
func (s *Stream) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.journal.close()
	defer s.stopTimer()
	wg.Go(func() { s.write(ctx) })
	const shortest, longest, healthy = 100 * time.Millisecond, 2 * time.Second, 10 * time.Second
	pause := shortest
	warned := false
	for ctx.Err() == nil {
		session, cancel := context.WithCancelCause(ctx)
		s.mu.Lock()
		if s.lastLive.IsZero() {
			s.lastLive = time.Now()
		}
		s.interrupt = cancel
		s.mu.Unlock()
		began := time.Now()
		err := s.session(session, func() {
			if warned {
				s.logger.Info("the shared log in Redis is back")
			}
			warned = false
		})
		if cause := context.Cause(session); cause != nil {
			err = cause
		}
		cancel(nil)
		s.detach()
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > healthy {
			pause = shortest
		}
		if !warned && !errors.Is(err, errNoLog) {
			warned = true
			s.logger.Warn("the shared log in Redis cannot be used; this replica watches the cluster for itself", "error", err)
		}
		s.pause(ctx, pause/2+rand.N(pause))
		pause = min(2*pause, longest)
	}
	return nil
}

// pause waits for d, or until ctx is done or interrupt is called.
func (s *Stream) pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	s.mu.Lock()
	s.interrupt = func(error) { cancel() }
	s.mu.Unlock()
	<-ctx.Done()
}
