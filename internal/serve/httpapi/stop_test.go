package httpapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/serve/transport/transporttest"
)

// TestServerWaitsForRequestsThatItCutsOff: what a handler uses is closed once Serve has returned. A request whose body
// nobody reads would not notice by itself that its connection is closed.
func TestServerWaitsForRequestsThatItCutsOff(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(stop context.CancelFunc, listener transporttest.Pipes)
		want error
	}{
		"when it is stopped":             {func(stop context.CancelFunc, _ transporttest.Pipes) { stop() }, nil},
		"when it cannot accept any more": {func(_ context.CancelFunc, listener transporttest.Pipes) { listener.Close() }, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, server := newServed(testLimits, 1<<30)
				finish := make(chan struct{})
				var cutOff time.Duration
				begun := time.Now()
				s.page = func(_ http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					cutOff = time.Since(begun)
					<-finish
				}
				listener := transporttest.Listen()
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				served := make(chan error, 1)
				go func() { served <- server.Serve(ctx, listener) }()
				client := listener.Dial(t, listener.Addr())
				if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				c.end(stop, listener)
				time.Sleep(time.Minute)
				select {
				case err := <-served:
					t.Errorf("Serve returned %v while a handler ran", err)
				default:
				}
				close(finish)
				synctest.Wait()
				if cutOff != server.options.DrainTimeout {
					t.Errorf("the request was cut off after %v", cutOff)
				}
				if err := <-served; !errors.Is(err, c.want) {
					t.Error(err)
				}
			})
		})
	}
}

// TestStoppingServerTakesNoNewConnections: the mutation of a client that comes now would run on a replica that is about to end.
func TestStoppingServerTakesNoNewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, server := newServed(testLimits, 1<<30)
		listener := transporttest.Listen()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		served := make(chan error, 1)
		go func() { served <- server.Serve(ctx, listener) }()
		// Two streams end one after the other.
		for range 2 {
			client := listener.Dial(t, listener.Addr())
			request := "GET /graphql?query=" + followPulls + " HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
			if _, err := io.WriteString(client, request); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, client) }() // until the server closes it
		}
		synctest.Wait()
		stop()
		synctest.Wait()
		select {
		case err := <-served:
			t.Fatalf("it stopped before its streams had ended: %v", err)
		default:
		}
		draining := time.Now()
		if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) || time.Since(draining) > 0 {
			t.Errorf("%v; it listened for %v while it drained", err, time.Since(draining))
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}
