package httpapi

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"pullwatch/budget"
)

const (
	// connectionMemory is what a connection takes, in bytes: the buffers and the stack of net/http, the kernel's part, and
	// requestAllowance, so that a usual request needs nothing more.
	connectionMemory = 40 << 10
	requestAllowance = 16 << 10
	// shortHeader is how long a request's header may be, in bytes, before what it becomes is taken from the budget. For
	// each byte that can be bytesPerHeaderByte: a map's entry for "a:".
	shortHeader        = 2 << 10
	bytesPerHeaderByte = 32
	headerLump         = 64 << 10
)

// noMemoryResponse is for clients for whom there is not even the memory to read what they ask for.
var noMemoryResponse = func() []byte {
	const body = `{"errors":[{"message":"the server is short of memory; try again in a moment","extensions":{"code":"UNAVAILABLE"}}]}`
	return fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"+
		"Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}()

// clientConn is the connection of a client, whose memory it takes from the budget. It belongs to the goroutine that serves
// it.
type clientConn struct {
	*net.TCPConn
	wholeWrite
	memory *budget.Budget
	client string
	// encrypted means that what is written to the connection is not what the client sees.
	encrypted bool
	// serving is true while a request is being answered; multiplexed once there may be several.
	serving, multiplexed atomic.Bool
	// header is how long the header is that is being read, and headerMemory what was taken for it.
	header, headerMemory int
	given                sync.Once
}

// Read counts what comes before a request is known. What comes after that, whoever reads the body counts.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if c.serving.Load() || c.multiplexed.Load() {
		return n, err
	}
	if c.header += n; c.header <= shortHeader || c.header*bytesPerHeaderByte <= c.headerMemory {
		return n, err
	}
	if refused := c.memory.Take(c.client, budget.Requests, headerLump); refused != nil {
		if !c.encrypted {
			c.tellNoMemory()
		}
		return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: refused} // net/http adds nothing to that
	}
	c.headerMemory += headerLump
	return n, err
}

// tellNoMemory writes a response that the kernel takes at once.
func (c *clientConn) tellNoMemory() {
	_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // a client that is gone needs no answer
	_, _ = c.TCPConn.Write(noMemoryResponse)
}

// countRequests is around the handler of all requests.
func countRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := clientConnOf(r)
		if c == nil {
			next.ServeHTTP(w, r)
			return
		}
		if r.ProtoMajor > 1 {
			c.multiplexed.Store(true)
		}
		c.serving.Store(true)
		defer c.endRequest()
		next.ServeHTTP(w, r)
	})
}

// endRequest gives back what the header has taken.
func (c *clientConn) endRequest() {
	if c.multiplexed.Load() {
		return
	}
	c.memory.Give(c.client, budget.Requests, c.headerMemory)
	c.header, c.headerMemory = 0, 0
	c.serving.Store(false)
}

// Close implements net.Conn.
func (c *clientConn) Close() error {
	err := c.TCPConn.Close()
	c.giveMemory()
	return err
}

// giveMemory is called when net/http has nothing to do with the connection any more.
func (c *clientConn) giveMemory() {
	c.given.Do(func() {
		c.memory.Give(c.client, budget.Connections, connectionMemory)
		c.memory.Give(c.client, budget.Requests, c.headerMemory)
	})
}

// NetConn returns the connection that this one is about.
func (c *clientConn) NetConn() net.Conn { return c.TCPConn }

// connectionKey is that of a request's net.Conn.
type connectionKey struct{}

// clientConnOf returns the connection of a request; nil if it is none of a clientListener.
func clientConnOf(r *http.Request) *clientConn {
	conn, _ := r.Context().Value(connectionKey{}).(net.Conn)
	for conn != nil {
		if c, ok := conn.(*clientConn); ok {
			return c
		}
		outer, ok := conn.(interface{ NetConn() net.Conn }) // as tls.Conn has it
		if !ok {
			return nil
		}
		conn = outer.NetConn()
	}
	return nil
}

// clientListener accepts connections for which there is memory.
type clientListener struct {
	net.Listener
	memory    *budget.Budget
	encrypted bool

	mu     sync.Mutex
	closed bool
	// refused are connections that have been told that there is no memory, and wait to be closed.
	refused map[*clientConn]*time.Timer
}

func newClientListener(l net.Listener, memory *budget.Budget, encrypted bool) *clientListener {
	return &clientListener{Listener: l, memory: memory, encrypted: encrypted, refused: map[*clientConn]*time.Timer{}}
}

// Accept implements net.Listener.
func (l *clientListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		socket, ok := conn.(*net.TCPConn)
		if err != nil || !ok {
			return conn, err
		}
		c := &clientConn{TCPConn: socket, memory: l.memory, client: countedAddress(conn.RemoteAddr()), encrypted: l.encrypted}
		if l.memory.Take(c.client, budget.Connections, connectionMemory) == nil {
			return c, nil
		}
		l.refuse(c)
	}
}

const (
	// refusedTime is how long a connection that is refused stays open. When it is closed while the client still sends,
	// the client may lose the response.
	refusedTime = 500 * time.Millisecond
	maxRefused  = 1000
)

// refuse tells a client that there is no memory, and closes the connection a little later.
func (l *clientListener) refuse(c *clientConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.encrypted || l.closed || len(l.refused) >= maxRefused {
		_ = c.TCPConn.Close() // which nobody has written to
		return
	}
	c.tellNoMemory()
	_ = c.CloseWrite() // the client may be gone
	l.refused[c] = time.AfterFunc(refusedTime, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.refused, c)
		_ = c.TCPConn.Close()
	})
}

// Close implements net.Listener.
func (l *clientListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	var errs []error
	for c, timer := range l.refused {
		if timer.Stop() {
			delete(l.refused, c)
			errs = append(errs, c.TCPConn.Close())
		}
	}
	return errors.Join(append(errs, l.Listener.Close())...)
}
