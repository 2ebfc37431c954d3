package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/gorilla/websocket"

	"pullwatch/usererr"
)

// Keepalive of WebSockets. A peer that has not answered a ping within pongWait is gone; one that does not take a message
// within writeWait is too slow.
const (
	pingInterval = 54 * time.Second
	pongWait     = 60 * time.Second
	writeWait    = 10 * time.Second
)

// webSockets accepts gorilla's WebSockets for gqlgen's transport.
type webSockets struct {
	upgrader websocket.Upgrader
	allowed  []string
	metrics  *socketMetrics

	mu sync.Mutex
	// requests are those that ask for a WebSocket or have become one.
	requests map[*socketRequest]struct{}
	// ending is true once all of them are to end, and no more may come.
	ending bool
	served sync.WaitGroup
}

// newWebSockets returns webSockets that a page may open from this server's own origin or one of allowed.
func newWebSockets(allowed []string, metrics *socketMetrics) *webSockets {
	return &webSockets{
		allowed: allowed, metrics: metrics, requests: map[*socketRequest]struct{}{},
		upgrader: websocket.Upgrader{
			ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{},
			HandshakeTimeout: writeWait,
			CheckOrigin:      func(*http.Request) bool { return true }, // own has checked it
		},
	}
}

// socketRequest is a request that asks for a WebSocket.
type socketRequest struct {
	cancel context.CancelFunc
	socket *socket // once it has been accepted
}

type socketRequestKey struct{}

// own serves a request and closes the WebSocket that it has become, if any, when that has been served: gqlgen does not
// close one in every case, and http.Server knows of none.
func (s *webSockets) own(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			next.ServeHTTP(w, r)
			return
		}
		if !originAllowed(r, s.allowed) {
			refuse(w, http.StatusForbidden, usererr.Forbidden, "pages of "+r.Header.Get("Origin")+" may not open WebSockets here; start the server with --allowed-origin to let them")
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		request := &socketRequest{cancel: cancel}
		if !s.begin(request) {
			refuse(w, http.StatusServiceUnavailable, usererr.Unavailable, "the server is stopping; try again in a moment")
			return
		}
		defer s.end(request)
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, socketRequestKey{}, request)))
	})
}

func (s *webSockets) begin(r *socketRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return false
	}
	s.requests[r] = struct{}{}
	s.served.Add(1)
	return true
}

func (s *webSockets) end(r *socketRequest) {
	s.mu.Lock()
	opened := r.socket
	delete(s.requests, r)
	s.mu.Unlock()
	if opened != nil {
		opened.Close()
	}
	s.served.Done()
}

// drain ends every WebSocket and returns when all have been closed or ctx is done. The closing handshake comes before
// subscriptions end: one that ended first would be completed, and no client comes back for what is complete.
func (s *webSockets) drain(ctx context.Context) {
	s.mu.Lock()
	s.ending = true
	for r := range s.requests {
		opened := r.socket
		s.served.Go(func() {
			if opened != nil {
				opened.sayGoodbye()
			}
			r.cancel()
		})
	}
	s.mu.Unlock()
	closed := make(chan struct{})
	go func() {
		s.served.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// originAllowed reports whether a request comes from no page at all, a page of this server, or one of allowed.
func originAllowed(r *http.Request, allowed []string) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(allowed, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// Accept upgrades the request. gqlgen answers it when that fails.
func (s *webSockets) Accept(w http.ResponseWriter, r *http.Request, o transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	upgrader := s.upgrader
	upgrader.Subprotocols = o.Subprotocols
	conn, err := upgrader.Upgrade(w, r, o.ResponseHeader)
	if err != nil {
		return nil, err
	}
	c := &socket{Conn: conn, closed: make(chan struct{}), metrics: s.metrics}
	if request, ok := r.Context().Value(socketRequestKey{}).(*socketRequest); ok {
		s.mu.Lock()
		request.socket = c
		s.mu.Unlock()
	}
	s.metrics.active.Inc()
	conn.SetPongHandler(func(string) error { return conn.SetReadDeadline(time.Now().Add(pongWait)) })
	if err := conn.SetReadDeadline(time.Now().Add(pongWait)); err != nil {
		c.Close()
		return nil, err
	}
	c.pinging.Go(c.ping)
	return c, nil
}

// socket is one connection.
type socket struct {
	*websocket.Conn
	metrics *socketMetrics
	once    sync.Once
	closed  chan struct{}
	pinging sync.WaitGroup
}

func (c *socket) ping() {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-ticker.C:
			if err := c.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)); err != nil {
				return // the read deadline ends the connection
			}
		}
	}
}

// NextReader returns the next message; transport.ErrWebsocketClosed once the peer has left or has gone silent.
func (c *socket) NextReader() (int, io.Reader, error) {
	kind, r, err := c.Conn.NextReader()
	if err != nil && !errors.Is(err, websocket.ErrReadLimit) {
		return 0, nil, transport.ErrWebsocketClosed
	}
	return kind, r, err
}

// WriteJSON sends a message. A peer that does not take it in time loses the connection, because a message that is half
// written cannot be followed by another.
func (c *socket) WriteJSON(v any) error {
	if err := c.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	if err := c.Conn.WriteJSON(v); err != nil {
		c.Close()
		return err
	}
	return nil
}

// WriteClose starts the closing handshake. Where gqlgen would say 1000, it says 1001: on 1000 the graphql-ws client
// connects again at once, about a thousand times a second, and on 1001 it backs off.
func (c *socket) WriteClose(code int, message string) error {
	if code == websocket.CloseNormalClosure {
		code = websocket.CloseGoingAway
	}
	return c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, message), time.Now().Add(writeWait))
}

// sayGoodbye starts the closing handshake because the server stops. A peer that does not take it at once is cut off
// without.
func (c *socket) sayGoodbye() {
	message := websocket.FormatCloseMessage(websocket.CloseGoingAway, "the server is stopping")
	_ = c.WriteControl(websocket.CloseMessage, message, time.Now().Add(time.Second))
}

// Close ends the connection and waits for its goroutine.
func (c *socket) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		close(c.closed)
		c.metrics.active.Dec()
	})
	c.pinging.Wait()
	return err
}
