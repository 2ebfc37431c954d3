package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// stage is a part of the test, for which latencies are kept apart.
type stage int32

const (
	starting stage = iota // what both programs do once is not counted
	quiet
	loaded
	after
	stages
)

const (
	goodQuery        = `{"query":"query Good{ activePulls{id phase message progress{percent}} }"}`
	goodInterval     = 50 * time.Millisecond
	goodAnswer       = `"activePulls"`
	goodSubscription = `{"id":"1","type":"subscribe","payload":{"query":"subscription Good{ pullJobUpdated{id phase message progress{percent}} }"}}`
	// patience is how long a well-behaved client waits before it counts as an error.
	patience = 10 * time.Second
)

// goodClients are the well-behaved clients.
type goodClients struct {
	stage atomic.Int32
	// kept asks over one connection, fresh over a new one each time.
	kept, fresh poller
	updates     subscriber
	done        sync.WaitGroup
}

func (g *goodClients) pollers() []*poller { return []*poller{&g.kept, &g.fresh} }

// startGoodClients starts the well-behaved clients. They go on until the context ends.
func startGoodClients(ctx context.Context, t *testing.T, address string) *goodClients {
	t.Helper()
	g := &goodClients{}
	g.kept.name, g.fresh.name = "one connection", "a connection each"
	if err := g.updates.subscribe(ctx, address); err != nil {
		t.Fatalf("the well-behaved subscriber: %v", err)
	}
	for _, client := range g.pollers() {
		transport := &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				client.connections.Add(1)
				return wellBehaved.DialContext(ctx, network, address)
			},
			MaxConnsPerHost: 1, DisableKeepAlives: client == &g.fresh,
		}
		g.done.Go(func() {
			defer transport.CloseIdleConnections()
			client.run(ctx, &http.Client{Transport: transport, Timeout: patience}, "http://"+address+"/graphql", &g.stage)
		})
	}
	g.done.Go(func() { g.updates.run(ctx, &g.stage) })
	return g
}

// poller is a well-behaved client that asks for the active pulls every 50 ms.
type poller struct {
	name        string
	connections atomic.Int32

	mu        sync.Mutex
	latencies [stages][]time.Duration
	// largest is the length of the longest answer: lists grow with the pulls that others queue.
	largest [stages]int
	errs    []error
}

func (p *poller) run(ctx context.Context, client *http.Client, url string, now *atomic.Int32) {
	tick := time.NewTicker(goodInterval)
	defer tick.Stop()
	for {
		at, began := now.Load(), time.Now()
		length, err := ask(ctx, client, url)
		took := time.Since(began)
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		p.latencies[at] = append(p.latencies[at], took)
		p.largest[at] = max(p.largest[at], length)
		if err != nil {
			p.errs = append(p.errs, err)
		}
		p.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask sends the query and returns the length of the answer and what is wrong with it.
func ask(ctx context.Context, client *http.Client, url string) (length int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(goodQuery))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK || bytes.Contains(body, []byte(`"errors"`)) || !bytes.Contains(body, []byte(goodAnswer)) {
		return len(body), fmt.Errorf("%s: %.300s", response.Status, body)
	}
	return len(body), nil
}

// latency returns how long the given share of the answers took at most, and how many there were.
func (p *poller) latency(at stage, share float64) (time.Duration, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sorted := slices.Sorted(slices.Values(p.latencies[at]))
	if len(sorted) == 0 {
		return 0, 0
	}
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)], len(sorted)
}

// ratio returns how many times longer the slowest hundredth of the answers took under load.
func (p *poller) ratio() float64 {
	before, _ := p.latency(quiet, 0.99)
	during, _ := p.latency(loaded, 0.99)
	if before == 0 {
		return 0
	}
	return float64(during) / float64(before)
}

// check fails the test if the client got an error or waited too long.
func (p *poller) check(t *testing.T) {
	t.Helper()
	if _, answers := p.latency(loaded, 1); answers == 0 {
		t.Errorf("the well-behaved client with %s had no answer under load", p.name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.errs) > 0 {
		t.Errorf("the well-behaved client with %s had %d errors, the first: %v", p.name, len(p.errs), p.errs[0])
	}
}

// subscriber is a well-behaved client that follows all pulls over a WebSocket.
type subscriber struct {
	conn *websocket.Conn

	mu      sync.Mutex
	updates [stages]int
	// silence is the longest time without an update.
	silence [stages]time.Duration
	err     error
}

func (s *subscriber) subscribe(ctx context.Context, address string) error {
	dialer := websocket.Dialer{NetDialContext: wellBehaved.DialContext, Subprotocols: []string{"graphql-transport-ws"}, HandshakeTimeout: patience}
	conn, _, err := dialer.DialContext(ctx, "ws://"+address+"/graphql", nil)
	if err != nil {
		return err
	}
	s.conn = conn
	for _, message := range []string{`{"type":"connection_init"}`, goodSubscription} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			return err
		}
	}
	return nil
}

// run reads until the context ends. More than the patience without an update is an error, as the demo always has some.
func (s *subscriber) run(ctx context.Context, now *atomic.Int32) {
	defer context.AfterFunc(ctx, func() { _ = s.conn.Close() })() // it reads no more
	defer s.conn.Close()
	last := time.Now()
	for {
		err := s.read()
		if ctx.Err() != nil {
			return
		}
		at, silent := now.Load(), time.Since(last)
		last = time.Now()
		s.mu.Lock()
		s.updates[at]++
		s.silence[at] = max(s.silence[at], silent)
		s.err = err
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// read waits for an update.
func (s *subscriber) read() error {
	for {
		if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		var message struct {
			Type    string          `json:"type"`
			Payload json.RawMessage `json:"payload"`
		}
		if err := s.conn.ReadJSON(&message); err != nil {
			return err
		}
		switch message.Type {
		case "next":
			if bytes.Contains(message.Payload, []byte(`"errors"`)) {
				return fmt.Errorf("%.300s", message.Payload)
			}
			return nil
		case "ping":
			if err := s.conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"pong"}`)); err != nil {
				return err
			}
		case "connection_ack":
		default:
			return errors.New(message.Type + " " + string(message.Payload))
		}
	}
}

func (s *subscriber) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		t.Errorf("the well-behaved subscriber got no more updates: %v", s.err)
	}
	if s.updates[loaded] == 0 {
		t.Error("the well-behaved subscriber got no update under load")
	}
}
