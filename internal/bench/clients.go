package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// request returns the HTTP request for a query, as it goes over the wire.
func request(query string) []byte {
	body, _ := json.Marshal(map[string]string{"query": query}) // strings can be marshalled
	const format = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
	return fmt.Appendf(nil, format, len(body), body)
}

// caller is an HTTP client with one connection. It does as little as it can, because it shares the processors with the server.
type caller struct {
	net.Conn
	in *bufio.Reader
}

// dial connects a caller, until ctx is done. The caller closes it.
func dial(ctx context.Context, address string) (*caller, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &caller{conn, bufio.NewReaderSize(conn, 64<<10)}, nil
}

// ask sends a request and copies the response's body.
func (c *caller) ask(request []byte, body io.Writer) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = io.Copy(body, response.Body)
	return err
}

// askOnce returns the response to a query that succeeds.
func askOnce(ctx context.Context, address, query string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := c.ask(request(query), &body); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(body.Bytes(), []byte(`{"data":`)) {
		return nil, fmt.Errorf("the server answers %.500s", body.Bytes())
	}
	return body.Bytes(), nil
}

// calls is a turn of n callers that ask again as soon as they have an answer.
func calls(address, query string, n int) turn {
	request := request(query)
	return together(n, func(ctx context.Context, _ int, until time.Time, took func(time.Duration)) error {
		c, err := dial(ctx, address)
		if err != nil {
			return err
		}
		defer c.Close()
		return repeat(func(context.Context) error { return c.ask(request, io.Discard) })(ctx, until, took)
	})
}

// polls is a turn of n callers that ask once in interval, evenly spread. One that waits longer for an answer leaves out what it
// would have asked meanwhile.
func polls(address, query string, n int, interval time.Duration) turn {
	request := request(query)
	return together(n, func(ctx context.Context, i int, until time.Time, took func(time.Duration)) error {
		c, err := dial(ctx, address)
		if err != nil {
			return err
		}
		defer c.Close()
		over := time.After(time.Until(until))
		next := time.NewTicker(max(interval*time.Duration(i)/time.Duration(n), 1)) // and interval from then on
		defer next.Stop()
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-over:
				return nil
			case <-next.C:
			}
			next.Reset(interval)
			asked := time.Now()
			if err := c.ask(request, io.Discard); err != nil {
				return err
			}
			took(time.Since(asked))
		}
	})
}

const protocol = "graphql-transport-ws"

var writeBuffers = new(sync.Pool)

// subscribe opens a WebSocket with one subscription. The system buffers receive bytes of what is not read, or as much as it likes
// if receive is 0. The caller closes the connection.
func subscribe(ctx context.Context, address string, receive int, query string, variables map[string]any) (*websocket.Conn, error) {
	dialer := websocket.Dialer{
		Subprotocols: []string{protocol}, ReadBufferSize: 2 << 10, WriteBufferPool: writeBuffers,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			tcp := conn.(*net.TCPConn)
			_ = tcp.SetLinger(0) // otherwise the system would keep the port for a minute
			if receive > 0 {
				_ = tcp.SetReadBuffer(receive)
			}
			return tcp, nil
		},
	}
	conn, _, err := dialer.DialContext(ctx, "ws://"+address+"/graphql", nil)
	if err != nil {
		return nil, fmt.Errorf("open a WebSocket: %w", err)
	}
	err = errors.Join(
		conn.WriteJSON(map[string]any{"type": "connection_init"}),
		conn.WriteJSON(map[string]any{
			"id": "1", "type": "subscribe", "payload": map[string]any{"query": query, "variables": variables},
		}))
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

const pullSubscription = `subscription($ids: [ID!]) { pullJobUpdated(ids: $ids) { id phase message attempts updatedAt revision
	progress { percent bytesDone bytesTotal bytesPerSecond secondsLeft } } }`

// startsWith reports whether a message has data of a field. It looks only at the message's beginning.
func startsWith(text []byte, field string) bool {
	const beginning = 100 // bytes; the field of an error message lies behind them
	return bytes.Contains(text[:min(len(text), beginning)], []byte(`"`+field+`":{`))
}

// opening says which connections are to be opened. Each has one subscription.
type opening struct {
	connections int
	ids         int // pulls that each subscription follows
	apart       int // pulls between the first ones of two connections; with 0 all connections follow the same pulls
	atOnce      int // connections opened at a time, 32 if it is 0
	// stalled connections are not read after the first states. They replace those that stalled before.
	stalled bool
}

// subscribers are the subscribers of one server.
type subscribers struct {
	address          string
	pulls            int // that the server has
	readers, stalled []*websocket.Conn
	update           []byte // the last of the first states

	reading sync.WaitGroup
	failed  chan error // the first error of a reader
	closing atomic.Bool

	// Of the update that readers wait for: when it was ordered, how many readers have it, and how long each waited.
	began   atomic.Int64
	arrived atomic.Int64
	took    []time.Duration
	all     chan struct{} // has a value when all readers have it
}

func newSubscribers(address string, pulls int) *subscribers {
	return &subscribers{address: address, pulls: pulls, all: make(chan struct{}, 1), failed: make(chan error, 1)}
}

// open opens connections, and returns when each has the first state of each of its pulls.
func (s *subscribers) open(ctx context.Context, o opening) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	opened := make([]*websocket.Conn, o.connections)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(o.atOnce, 32))
	for i := range opened {
		group.Go(func() error {
			conn, update, err := s.openOne(ctx, i, o)
			opened[i] = conn
			if i == 0 {
				s.update = update
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		closeAll(opened)
		return err
	}
	if o.stalled {
		closeAll(s.stalled)
		s.stalled = opened
		return nil
	}
	first := len(s.readers)
	s.readers = append(s.readers, opened...)
	s.took = make([]time.Duration, len(s.readers))
	for i, conn := range opened {
		s.reading.Go(func() { s.read(first+i, conn) })
	}
	return nil
}

func (s *subscribers) openOne(ctx context.Context, i int, o opening) (conn *websocket.Conn, update []byte, err error) {
	ids := make([]string, o.ids)
	for k := range ids {
		ids[k] = pullID((i*o.apart + k) % s.pulls)
	}
	receive := 0
	if o.stalled {
		receive = 32 << 10
	}
	if conn, err = subscribe(ctx, s.address, receive, pullSubscription, map[string]any{"ids": ids}); err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for states := 0; states < o.ids; {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return conn, nil, err
		}
		if startsWith(text, "pullJobUpdated") {
			states, update = states+1, text
		} else if bytes.Contains(text, []byte(`"error`)) {
			return conn, nil, fmt.Errorf("the server answers %q", text)
		}
	}
	return conn, update, nil
}

// read takes note of the updates of the reader with an index.
func (s *subscribers) read(i int, conn *websocket.Conn) {
	text := make([]byte, 100)
	for {
		_, message, err := conn.NextReader()
		if err == nil {
			_, err = io.ReadFull(message, text)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			continue // too short for an update
		}
		if err != nil {
			if !s.closing.Load() {
				select {
				case s.failed <- err:
				default:
				}
			}
			return
		}
		if !startsWith(text, "pullJobUpdated") {
			continue
		}
		s.took[i] = time.Duration(time.Now().UnixNano() - s.began.Load())
		if s.arrived.Add(1) == int64(len(s.readers)) {
			s.all <- struct{}{}
		}
	}
}

// round orders an update with publish, and returns when all readers have it.
func (s *subscribers) round(ctx context.Context, publish func() error) error {
	s.arrived.Store(0)
	s.began.Store(time.Now().UnixNano())
	if err := publish(); err != nil {
		return err
	}
	select {
	case <-s.all:
		return nil
	case err := <-s.failed:
		return fmt.Errorf("a reader has lost its connection: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("%d of %d readers have an update: %w", s.arrived.Load(), len(s.readers), ctx.Err())
	}
}

// close closes all connections.
func (s *subscribers) close() {
	s.closing.Store(true)
	closeAll(s.readers)
	closeAll(s.stalled)
	s.reading.Wait()
	s.readers, s.stalled = nil, nil
	s.closing.Store(false)
}

func closeAll(connections []*websocket.Conn) {
	for _, conn := range connections {
		if conn != nil {
			_ = conn.Close()
		}
	}
}
