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
	// open counts the requests that ask for a WebSocket.
	open sync.WaitGroup
	// ending is done when all of them are to end; end makes it so.
	ending context.Context
	end    context.CancelFunc
}

// newWebSockets returns webSockets that a page may open from this server's own origin or one of allowed.
func newWebSockets(allowed []string, metrics *socketMetrics) *webSockets {
	ending, end := context.WithCancel(context.Background())
	return &webSockets{allowed: allowed, metrics: metrics, ending: ending, end: end, upgrader: websocket.Upgrader{
		ReadBufferSize: 1024, WriteBufferSize: 1024, WriteBufferPool: &sync.Pool{},
		HandshakeTimeout: writeWait,
		CheckOrigin:      func(*http.Request) bool { return true }, // own has checked it
	}}
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

type ownerKey struct{}

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
		s.open.Add(1)
		defer s.open.Done()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.ending, cancel)()
		var opened *socket
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, ownerKey{}, &opened)))
		if opened != nil {
			opened.Close()
		}
	})
}

// drain ends every WebSocket and returns when all have been closed or ctx is done.
func (s *webSockets) drain(ctx context.Context) {
	s.end()
	closed := make(chan struct{})
	go func() {
		s.open.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
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
	if opened, ok := r.Context().Value(ownerKey{}).(**socket); ok {
		*opened = c
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
