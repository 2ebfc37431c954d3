package graphqlhttp

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/serve/transport/transporttest"
)

// overPipe sends q to a server that gives requests half a minute, and returns the client's end of the connection.
// Within a test, all connections are of one server.
func overPipe(t *testing.T, transport *Transport, s *script) (connect func(q request) net.Conn) {
	t.Helper()
	listener := transporttest.Listen()
	server := &http.Server{
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transport.Do(w, r, s) }),
		ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
	}
	served := make(chan struct{})
	go func() {
		_ = server.Serve(listener)
		close(served)
	}()
	t.Cleanup(func() {
		listener.Close()
		<-served
		server.Close()
	})
	return func(q request) net.Conn {
		client := listener.Dial(t, listener.Addr())
		if err := q.build(t, "http://pipe").Write(client); err != nil {
			t.Fatal(err)
		}
		return client
	}
}

func readStream(t *testing.T, conn net.Conn) *bufio.Reader {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v %v", response, err)
	}
	body := bufio.NewReader(response.Body)
	if first := transporttest.ReadEvent(t, body); first != beginning {
		t.Errorf("begins with %q", first)
	}
	return body
}

func TestStreamOutlivesTheServersTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		conn := overPipe(t, New(Options{}), s)(events("subscription updates"))
		stream := readStream(t, conn)
		begun := time.Now()
		for i := range 10 {
			if got := transporttest.ReadEvent(t, stream); got != ":\n\n" {
				t.Fatalf("%q", got)
			}
			if took := time.Since(begun); took != time.Duration(i+1)*12*time.Second {
				t.Fatalf("comment %d after %v", i, took)
			}
		}
		time.Sleep(10 * time.Second)
		s.Updates <- `{"n":1}`
		if got := transporttest.ReadEvent(t, stream); got != next(`{"data":{"n":1}}`) {
			t.Fatalf("%q", got)
		}
		if got := transporttest.ReadEvent(t, stream); got != ":\n\n" || time.Since(begun) != 142*time.Second {
			t.Fatalf("%q after %v: a comment is due when 12 s have been silent", got, time.Since(begun))
		}
		close(s.Updates)
		if got := transporttest.ReadEvent(t, stream); got != complete {
			t.Fatalf("%q", got)
		}
	})
}

func TestClientThatStopsReadingLosesItsStreamAndDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		connect := overPipe(t, New(Options{}), s)
		stuck := readStream(t, connect(events("subscription flood")))
		other := readStream(t, connect(events("subscription updates")))
		transporttest.ReadEvent(t, stuck)
		begun := time.Now()
		s.Updates <- `{"n":1}`
		transporttest.ReadEvent(t, other)
		if took := time.Since(begun); took != 0 {
			t.Errorf("another stream waited %v", took)
		}
		<-s.Ended
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("the stream ended after %v", took)
		}
	})
}

func TestClientThatNeverReadsLosesItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		transport := New(Options{})
		overPipe(t, transport, s)(events("subscription updates"))
		begun := time.Now()
		synctest.Wait()
		transport.streams.Wait()
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("the stream ended after %v", took)
		}
	})
}

func TestClientsOfADrainedServerDoNotAllComeBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		transport := New(Options{})
		connect := overPipe(t, transport, s)
		const streams = 4
		ends := make(chan time.Duration, streams)
		var begun time.Time
		var open []*bufio.Reader
		for range streams {
			open = append(open, readStream(t, connect(events("subscription updates"))))
		}
		time.Sleep(11 * time.Second) // longer than a write may take
		begun = time.Now()
		for _, stream := range open {
			go func() {
				_, err := stream.ReadString('\n')
				if fmt.Sprint(err) != "EOF" {
					t.Errorf("%v", err)
				}
				ends <- time.Since(begun)
			}()
		}
		if err := transport.Drain(t.Context(), 8*time.Millisecond); err != nil {
			t.Error(err)
		}
		for i := range streams {
			if got, want := <-ends, time.Duration(i)*2*time.Millisecond; got != want {
				t.Errorf("stream %d ended after %v, not %v", i, got, want)
			}
		}
	})
}

func TestDrainCutsOffStreamsThatDoNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		transport := New(Options{WriteTimeout: time.Hour})
		stuck := readStream(t, overPipe(t, transport, s)(events("subscription flood")))
		transporttest.ReadEvent(t, stuck)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := transport.Drain(ctx, 0); err != context.DeadlineExceeded || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
