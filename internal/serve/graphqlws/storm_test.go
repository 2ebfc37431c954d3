package graphqlws

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/internal/serve/transport/transporttest"
)

// Whatever is ready at once and whenever operations end, the last state arrives, and each source is used as it is to
// be.
func TestNothingIsLeftOfAStormOfClients(t *testing.T) {
	const connections, rounds, last = 8, 20, 50
	seen := &counters{}
	s := serve(t, Options{Observer: seen})
	var mu sync.Mutex
	var sources []*state
	s.source = func(context.Context) Source {
		source := &state{}
		mu.Lock()
		sources = append(sources, source)
		mu.Unlock()
		return source
	}
	publish := func(version int) {
		mu.Lock()
		published := append([]*state(nil), sources...)
		mu.Unlock()
		for _, i := range rand.Perm(len(published)) {
			published[i].set(version)
		}
	}
	var stop atomic.Bool
	var publishers sync.WaitGroup
	for range 3 {
		publishers.Go(func() {
			for !stop.Load() {
				publish(1 + rand.N(last-1))
			}
		})
	}
	var clients sync.WaitGroup
	conns := make([]*websocket.Conn, connections)
	for i := range conns {
		conns[i] = s.dial(t)
		clients.Go(func() {
			conn := conns[i]
			send(t, conn, initMessage)
			receive(t, conn)
			for round := range rounds {
				id := fmt.Sprint(round)
				send(t, conn, subscribe(id, "push"))
				for range rand.N(3) {
					receive(t, conn)
				}
				if round < rounds-1 {
					send(t, conn, `{"id":"`+id+`","type":"complete"}`)
					continue
				}
				for !strings.HasPrefix(receive(t, conn), `{"id":"`+id+`"`) {
				}
			}
		})
	}
	clients.Wait()
	stop.Store(true)
	publishers.Wait()
	publish(last)
	for _, conn := range conns {
		for version(t, receive(t, conn)) != last {
		}
	}
	transporttest.Drain(t, s.Transport)
	for _, source := range sources {
		source.check(t)
	}
	if seen.started != seen.ended || len(sources) != connections*rounds {
		t.Errorf("%d operations have started, %d have ended, with %d sources", seen.started, seen.ended, len(sources))
	}
}

func TestDrainClosesEverySource(t *testing.T) {
	const connections, each = 30, 100
	s := serve(t, Options{CloseTimeout: 50 * time.Millisecond}) // the clients do not close
	var sources [connections * each]steps
	var taken atomic.Int32
	s.source = func(context.Context) Source { return &sources[taken.Add(1)-1] }
	for range connections {
		conn := s.dial(t)
		send(t, conn, initMessage)
		receive(t, conn)
		for i := range each {
			send(t, conn, subscribe(fmt.Sprint(i), "push"))
		}
		send(t, conn, subscribe("too many", "{one}"))
		if got := receive(t, conn); !strings.Contains(got, "LIMIT_EXCEEDED") {
			t.Fatal(got)
		}
	}
	transporttest.Drain(t, s.Transport)
	for i := range sources {
		sources[i].check(t)
	}
}
