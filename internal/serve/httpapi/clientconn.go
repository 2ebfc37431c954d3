package httpapi

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"pullwatch/internal/budget"
	"pullwatch/internal/serve/graphqlws"
	"pullwatch/internal/usererr"
)

const (
	// connectionMemory is what a connection takes, in bytes: the buffers and the stack of net/http, the kernel's buffers,
	// and requestAllowance, so that a usual request takes nothing more.
	connectionMemory = 40 << 10
	requestAllowance = 16 << 10
	// encryptedMemory is what a connection with TLS takes, in bytes.
	encryptedMemory = 80 << 10
	// headerAllowance is what a request's header may take before more is taken from the budget, in bytes. headerStep is how
	// many bytes are then taken at a time. bytesPerLine is what each line takes in addition to its text, as an entry of a
	// map.
	headerAllowance = 8 << 10
	headerStep      = 16 << 10
	bytesPerLine    = 150
	// encryptedAllowance is how many bytes usually come over a connection with TLS before its first request. What more
	// bytes say is not known here. So each counts as in a header whose lines are as short as possible.
	encryptedAllowance    = 4 << 10
	bytesPerEncryptedByte = bytesPerLine / 4
	// readBuffer is how many bytes the kernel buffers that nobody reads. Most requests are shorter.
	readBuffer = 32 << 10
)

// noMemoryResponse is the response when there is no memory to read the request.
var noMemoryResponse = func() []byte {
	const body = `{"errors":[{"message":"the server is short of memory; try again in a moment","extensions":{"code":"UNAVAILABLE"}}]}`
	return fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"+
		"Connection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}()

// clientConn is the connection of a client. It takes its memory from the budget when it is accepted, and more for a long
// header. It gives the memory back when it is closed or, without TLS, hijacked. Only the goroutine that serves it may use it.
type clientConn struct {
	*net.TCPConn
	wholeWrite
	memory *budget.Budget
	caller string
	// encrypted means that the bytes of the connection are TLS's.
	encrypted bool
	// multiplexed means that several requests share the connection, with HTTP/2.
	multiplexed bool
	// reading is true while the header of a request may come.
	reading atomic.Bool

	// mu guards the following: a server that stops closes connections while they are being read.
	mu sync.Mutex
	// header is what the header takes that is being read, and headerTaken what was taken from the budget for it, both in
	// bytes. line is the length of its last line up to now. With TLS, line is how many bytes have come.
	header, headerTaken, line int
	released                  bool // all memory has been given back
}

// ownMemory is what the connection takes from when it is accepted, in bytes.
func (c *clientConn) ownMemory() int {
	if c.encrypted {
		return encryptedMemory
	}
	return connectionMemory
}

// Read counts the bytes of headers. Bodies are counted by the handlers that read them.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if !c.reading.Load() {
		return n, err
	}
	if refused := c.takeHeader(c.countHeader(p[:n])); refused != nil {
		c.refuse()
		return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: refused} // net/http closes the connection without a response
	}
	return n, err
}

// takeHeader takes memory for a header of so many bytes, unless the allowance covers it.
func (c *clientConn) takeHeader(memory int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return net.ErrClosed
	}
	for memory > headerAllowance+c.headerTaken {
		if err := c.memory.Take(c.caller, budget.Requests, headerStep); err != nil {
			return err
		}
		c.headerTaken += headerStep
	}
	return nil
}

// giveHeader gives back the memory that takeHeader has taken.
func (c *clientConn) giveHeader() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.giveHeaderLocked()
}

func (c *clientConn) giveHeaderLocked() {
	c.memory.Give(c.caller, budget.Requests, c.headerTaken)
	c.header, c.headerTaken, c.line = 0, 0, 0
}

// trackState is for http.Server.ConnState. The goroutine that serves the connection calls it, while no other reads from it.
func trackState(conn net.Conn, state http.ConnState) {
	c := clientConnOf(conn)
	if c == nil {
		return
	}
	switch state {
	case http.StateActive: // a header has been read
		if encrypted, ok := conn.(*tls.Conn); ok {
			c.multiplexed = encrypted.ConnectionState().NegotiatedProtocol == "h2"
		}
		c.reading.Store(false)
	case http.StateIdle:
		c.giveHeader()
		c.reading.Store(!c.multiplexed)
	case http.StateHijacked:
		c.reading.Store(false)
		c.giveHeader()
		if !c.encrypted { // the hijacker closes the TCPConn, not c
			c.giveMemory()
		}
	}
}

// countHeader counts the part of a piece that belongs to the header, and returns what the header takes up to now, in bytes.
// The header ends with an empty line, which may come in two pieces. The body after it does not count.
func (c *clientConn) countHeader(piece []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.encrypted {
		c.line += len(piece)
		c.header = bytesPerEncryptedByte * max(c.line-encryptedAllowance, 0)
		return c.header
	}
	for len(piece) > 0 {
		length := bytes.IndexByte(piece, '\n')
		if length < 0 {
			c.header += 2 * len(piece)
			c.line += len(piece)
			break
		}
		c.header += 2*(length+1) + bytesPerLine
		if c.line += length; c.line <= len("\r") {
			break
		}
		c.line, piece = 0, piece[length+1:]
	}
	return c.header
}

// refuseTime is how long refuse may take.
const refuseTime = 500 * time.Millisecond

// refuse writes noMemoryResponse. Then it reads what the kernel may have buffered: if a connection is closed with unread
// bytes, the client may lose the response.
func (c *clientConn) refuse() {
	if c.encrypted {
		return
	}
	// Whatever fails here, the connection is closed next.
	_ = c.SetDeadline(time.Now().Add(refuseTime))
	_, _ = c.TCPConn.Write(noMemoryResponse)
	_ = c.CloseWrite()
	chunk := make([]byte, 4<<10)
	for rest := readBuffer; rest > 0; {
		n, err := c.TCPConn.Read(chunk)
		if err != nil {
			return
		}
		rest -= n
		runtime.Gosched() // requests that are not refused come first
	}
}

// multiplexedMemory is what a request takes in addition to its header if it shares its connection with others, in bytes.
const multiplexedMemory = 16 << 10

// countParsedHeaders is around the handler of all requests. It counts the memory of their parsed headers.
func countParsedHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _ := r.Context().Value(connectionKey{}).(net.Conn)
		c := clientConnOf(conn)
		if c == nil {
			next.ServeHTTP(w, r)
			return
		}
		header := 0
		for name, values := range r.Header {
			for _, value := range values {
				header += bytesPerLine + 2*(len(name)+len(value))
			}
		}
		shared := 0 // bytes to give back here, because the connection is not idle after this request
		var err error
		if r.ProtoMajor > 1 {
			shared = multiplexedMemory + header
			err = c.memory.Take(c.caller, budget.Requests, shared)
		} else {
			err = c.takeHeader(header)
		}
		if err != nil {
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusServiceUnavailable, usererr.Unavailable, err.Error())
			return
		}
		defer c.memory.Give(c.caller, budget.Requests, shared)
		next.ServeHTTP(w, r)
	})
}

// Close implements net.Conn.
func (c *clientConn) Close() error {
	err := c.TCPConn.Close()
	c.giveMemory()
	return err
}

// giveMemory gives all memory back, once.
func (c *clientConn) giveMemory() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return
	}
	c.released = true
	c.memory.Give(c.caller, budget.Connections, c.ownMemory())
	c.giveHeaderLocked()
}

// NetConn returns the connection below, as tls.Conn does.
func (c *clientConn) NetConn() net.Conn { return c.TCPConn }

// connectionKey is the key of a request's net.Conn in its context.
type connectionKey struct{}

// clientConnOf returns the clientConn that conn is or encrypts, or nil.
func clientConnOf(conn net.Conn) *clientConn {
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

// clientListener accepts a connection if there is memory for it, and refuses it otherwise.
type clientListener struct {
	net.Listener
	memory    *budget.Budget
	encrypted bool

	// refusing has a value for each connection that is being refused. refused waits for them.
	refusing chan struct{}
	refused  sync.WaitGroup
}

// maxRefusing is how many connections are refused with a response at a time. Others are closed without one.
const maxRefusing = 32

func newClientListener(l net.Listener, memory *budget.Budget, encrypted bool) *clientListener {
	return &clientListener{Listener: l, memory: memory, encrypted: encrypted, refusing: make(chan struct{}, maxRefusing)}
}

// Accept implements net.Listener.
func (l *clientListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		socket, ok := conn.(*net.TCPConn)
		if err != nil || !ok {
			return conn, err
		}
		c := &clientConn{TCPConn: socket, memory: l.memory, caller: callerAt(conn.RemoteAddr()), encrypted: l.encrypted}
		if l.memory.Take(c.caller, budget.Connections, c.ownMemory()) != nil {
			l.refuse(c)
			runtime.Gosched() // requests that are not refused come first
			continue
		}
		// In a cgroup, what the kernel buffers for the connection counts as memory of the process.
		graphqlws.LimitUnsent(socket)
		_ = socket.SetReadBuffer(readBuffer) // fails only if the connection is closed, which Read will find out
		c.reading.Store(true)
		return c, nil
	}
}

// refuse refuses a connection without delaying the next one.
func (l *clientListener) refuse(c *clientConn) {
	select {
	case l.refusing <- struct{}{}:
	default:
		_ = c.TCPConn.Close() // nothing was written that could be lost
		return
	}
	l.refused.Go(func() {
		c.refuse()
		_ = c.TCPConn.Close() // the response has been written
		<-l.refusing
	})
}

// Close implements net.Listener. It returns when no connection is being refused any more.
func (l *clientListener) Close() error {
	err := l.Listener.Close()
	l.refused.Wait()
	return err
}
