package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// subscribers are the subscribers of one server, in a process of their own: what they use is not to count as the server's, and
// a process may not have as many sockets as all of them together.
type subscribers struct {
	// server is where the server serves GraphQL, control where it takes orders.
	server, control string

	mu      sync.Mutex // guards the sockets, and is held while an order is carried out
	readers []*socket
	stalled []*socket

	began   atomic.Int64    // when the current round began
	took    []time.Duration // how long each reader's update took, in the current round
	arrived atomic.Int64    // how many readers have theirs
	all     chan struct{}   // has a value when all have
	reading sync.WaitGroup
	failed  chan error
	closing atomic.Bool
}

// clientsCommand is the argument that makes this program such a process.
const clientsCommand = "clients"

// serveClients takes orders for clients of a server until ctx is done.
func serveClients(ctx context.Context, address, server, control string) error {
	debug.SetGCPercent(400) // the less is collected, the more of the processors the server has
	s := newSubscribers(server, control)
	orders := http.NewServeMux()
	orders.Handle("/open", order(s.open))
	orders.Handle("/close", order(s.close))
	orders.Handle("/updates", order(s.updates))
	return takeOrders(ctx, address, orders)
}

func newSubscribers(server, control string) *subscribers {
	return &subscribers{server: server, control: control, all: make(chan struct{}, 1), failed: make(chan error, 1)}
}

// opening says which connections are to be opened. Each has one subscription.
type opening struct {
	Connections int
	// IDs is how many pulls each subscription follows.
	IDs int
	// Apart is how many pulls lie between the first ones of two connections: with 0 all follow the same ones. Pulls is how
	// many there are.
	Apart, Pulls int
	// AtOnce is how many connections are opened at a time.
	AtOnce int
	// Stalled connections are not read from once they have the first states. They take the place of those before.
	Stalled bool
}

// opened is what came of an opening.
type opened struct {
	// Took is the time until each had the first state of each of its pulls.
	Took time.Duration
	// Update is a message with an update.
	Update string
}

const subscription = `subscription($ids: [ID!]) { pullJobUpdated(ids: $ids) { id phase message attempts updatedAt revision
	progress { percent bytesDone bytesTotal bytesPerSecond secondsLeft } } }`

// isUpdate reports whether a message has an update.
func isUpdate(text []byte) bool {
	const within = 100 // of the message's beginning, with any of the servers
	return bytes.Contains(text[:min(len(text), within)], []byte(`"pullJobUpdated":{`))
}

func (c *subscribers) open(ctx context.Context, o opening) (result opened, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sockets := make([]*socket, o.Connections)
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.AtOnce)
	for i := range sockets {
		group.Go(func() (err error) {
			var update string
			sockets[i], update, err = c.subscribe(ctx, i, o)
			if i == 0 {
				result.Update = update
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return opened{}, err
	}
	result.Took = time.Since(began)
	if o.Stalled {
		for _, s := range c.stalled {
			s.close()
		}
		c.stalled = sockets
		return result, nil
	}
	first := len(c.readers)
	c.readers = append(c.readers, sockets...)
	c.took = make([]time.Duration, len(c.readers))
	for i, s := range sockets {
		c.reading.Go(func() { c.read(first+i, s) })
	}
	return result, nil
}

// stalledReceive is how much the system keeps for a client that does not read, in bytes.
const stalledReceive = 32 << 10

// subscribe opens a connection and its subscription, and returns the last of its first states as well.
func (c *subscribers) subscribe(ctx context.Context, i int, o opening) (_ *socket, update string, err error) {
	receive := 0
	if o.Stalled {
		receive = stalledReceive
	}
	s, err := dialSocket(ctx, c.server, receive)
	if err != nil {
		return nil, "", err
	}
	defer context.AfterFunc(ctx, s.close)()
	message, err := subscribeMessage(i, o)
	if err == nil {
		err = errors.Join(s.send(opcodeText, []byte(`{"type":"connection_init"}`)), s.send(opcodeText, message))
	}
	for states := 0; err == nil && states < o.IDs; {
		var text []byte
		if text, err = s.read(); isUpdate(text) {
			states++
			update = string(text)
		} else if bytes.Contains(text, []byte(`"errors"`)) || bytes.Contains(text, []byte(`"error"`)) {
			err = fmt.Errorf("the server answers %q", text)
		}
	}
	if err != nil {
		s.close()
		return nil, "", fmt.Errorf("subscribe: %w", err)
	}
	return s, update, nil
}

func subscribeMessage(i int, o opening) ([]byte, error) {
	ids := make([]string, o.IDs)
	for k := range ids {
		ids[k] = pullID((i*o.Apart + k) % max(o.Pulls, 1))
	}
	return subscribeTo(subscription, map[string]any{"ids": ids})
}

// subscribeTo returns the message that starts a subscription.
func subscribeTo(query string, variables map[string]any) ([]byte, error) {
	type payload struct {
		Query     string         `json:"query"`
		Variables map[string]any `json:"variables"`
	}
	return json.Marshal(struct {
		ID      string  `json:"id"`
		Type    string  `json:"type"`
		Payload payload `json:"payload"`
	}{"1", "subscribe", payload{query, variables}})
}

// read takes note of the updates of the reader with this index.
func (c *subscribers) read(i int, s *socket) {
	for {
		text, err := s.read()
		if err != nil {
			if !c.closing.Load() {
				select {
				case c.failed <- err:
				default:
				}
			}
			return
		}
		if !isUpdate(text) {
			continue
		}
		c.took[i] = time.Duration(time.Now().UnixNano() - c.began.Load())
		if c.arrived.Add(1) == int64(len(c.readers)) {
			c.all <- struct{}{}
		}
	}
}

// close closes all connections.
func (c *subscribers) close(context.Context, struct{}) (struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing.Store(true)
	for _, s := range append(c.readers, c.stalled...) {
		s.close()
	}
	c.reading.Wait()
	c.readers, c.stalled = nil, nil
	c.closing.Store(false)
	return struct{}{}, nil
}

// updating says how updates are to be published and read, one after the other: each when all readers have had the one
// before.
type updating struct {
	// There are updates until For is over, and at least as many as AtLeast says.
	For     time.Duration
	AtLeast int
	// Each asks for the time of each reader instead of that of the last one.
	Each        bool
	Publication publication
}

// updates returns how long updates took from the order to publish them until they were read.
func (c *subscribers) updates(ctx context.Context, u updating) (took []time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, u.For+startLimit)
	defer cancel()
	until := time.Now().Add(u.For)
	for i := 0; i < u.AtLeast || time.Now().Before(until); i++ {
		c.arrived.Store(0)
		began := time.Now()
		c.began.Store(began.UnixNano())
		if _, err := tell[struct{}](ctx, c.control, "/publish", u.Publication); err != nil {
			return nil, err
		}
		select {
		case <-c.all:
		case err := <-c.failed:
			return nil, fmt.Errorf("a reader has lost its connection: %w", err)
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d readers have an update: %w", c.arrived.Load(), len(c.readers), ctx.Err())
		}
		if u.Each {
			took = append(took, c.took...)
		} else {
			took = append(took, time.Since(began))
		}
	}
	return took, nil
}
