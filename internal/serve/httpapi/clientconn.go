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
	// connectionMemory is what a connection takes, in bytes: the buffers and the stack of net/http, the kernel's part, and
	// requestAllowance, so that a usual request needs nothing more.
	connectionMemory = 40 << 10
	requestAllowance = 16 << 10
	// encryptedMemory is that of a connection with TLS.
	encryptedMemory = 80 << 10
	// headerAllowance is what a request's header may take before more is taken from the budget, headerLump at a time: each
	// line takes bytesPerLine besides its text, as an entry of a map.
	headerAllowance = 8 << 10
	headerLump      = 16 << 10
	bytesPerLine    = 150
	// encryptedAllowance is how many bytes come over a connection with TLS until its first request, usually. Of more it
	// cannot be seen what they say: each counts as much as in lines that are as short as can be.
	encryptedAllowance    = 4 << 10
	bytesPerEncryptedByte = bytesPerLine / 4
	// readBuffer is how much the kernel takes of what a client sends and nobody reads. Most requests are shorter.
	readBuffer = 32 << 10
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
	// multiplexed means that several requests share the connection.
	multiplexed bool
	// reading is true while the header of a request may come.
	reading atomic.Bool

	// mu is there because a server that stops closes connections while they are being read. It guards the following.
	mu sync.Mutex
	// header is what the header takes that is being read, and headerTaken what was taken from the budget for it. line is how
	// much has come of the header's last line.
	header, headerTaken, line int
	given                     bool // back, all of it
}

// lump is what the connection takes by itself.
func (c *clientConn) lump() int {
	if c.encrypted {
		return encryptedMemory
	}
	return connectionMemory
}

// Read counts what comes before a request is known. What comes after that, whoever reads the body counts.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if !c.reading.Load() {
		return n, err
	}
	if refused := c.takeHeader(c.countHeader(p[:n])); refused != nil {
		c.refuse()
		return 0, &net.OpError{Op: "read", Net: "tcp", Addr: c.RemoteAddr(), Err: refused} // net/http adds nothing to that
	}
	return n, err
}

// takeHeader takes what a header takes beyond its allowance.
func (c *clientConn) takeHeader(memory int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.given {
		return net.ErrClosed
	}
	for memory > headerAllowance+c.headerTaken {
		if err := c.memory.Take(c.client, budget.Requests, headerLump); err != nil {
			return err
		}
		c.headerTaken += headerLump
	}
	return nil
}

// giveHeader gives back what takeHeader has taken.
func (c *clientConn) giveHeader() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.giveHeaderLocked()
}

func (c *clientConn) giveHeaderLocked() {
	c.memory.Give(c.client, budget.Requests, c.headerTaken)
	c.header, c.headerTaken, c.line = 0, 0, 0
}

// trackState is for http.Server.ConnState. It is called by the goroutine that serves the connection, while nobody else
// reads from it.
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
		if !c.encrypted { // who has taken it over closes the TCPConn
			c.giveMemory()
		}
	}
}

// countHeader counts what of a piece belongs to the header, which ends with an empty line, and returns what has come up to
// now. The end may come in two pieces; a body behind it may have as many lines as bytes.
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

// refuseTime is how long a client may go on to send when it has been refused.
const refuseTime = 500 * time.Millisecond

// refuse tells the client that there is no memory. It reads what the client still sends, as far as the kernel has taken
// it: when the connection is closed over that, the client loses the response.
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
		runtime.Gosched() // others have requests that are answered
	}
}

// streamMemory is what a request takes by itself that shares its connection with others, in bytes.
const streamMemory = 16 << 10

// countRequests is around the handler of all requests. It counts what their headers have become.
func countRequests(next http.Handler) http.Handler {
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
		shared := 0 // what the connection does not give back when it is idle again
		var err error
		if r.ProtoMajor > 1 {
			shared = streamMemory + header
			err = c.memory.Take(c.client, budget.Requests, shared)
		} else {
			err = c.takeHeader(header)
		}
		if err != nil {
			w.Header().Set("Retry-After", "5")
			refuse(w, http.StatusServiceUnavailable, usererr.Unavailable, err.Error())
			return
		}
		defer c.memory.Give(c.client, budget.Requests, shared)
		next.ServeHTTP(w, r)
	})
}

// Close implements net.Conn.
func (c *clientConn) Close() error {
	err := c.TCPConn.Close()
	c.giveMemory()
	return err
}

// giveMemory is called when net/http has nothing to do with the connection any more.
func (c *clientConn) giveMemory() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.given {
		return
	}
	c.given = true
	c.memory.Give(c.client, budget.Connections, c.lump())
	c.giveHeaderLocked()
}

// NetConn returns the connection that this one is about.
func (c *clientConn) NetConn() net.Conn { return c.TCPConn }

// connectionKey is that of a request's net.Conn.
type connectionKey struct{}

// clientConnOf returns the clientConn that conn is or encrypts; nil if there is none.
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

// clientListener accepts connections for which there is memory.
type clientListener struct {
	net.Listener
	memory    *budget.Budget
	encrypted bool

	// refusing has a value for each connection that is being refused.
	refusing chan struct{}
	refused  sync.WaitGroup
}

// maxRefusing is how many clients are told at a time that there is no memory; others are not told.
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
		c := &clientConn{TCPConn: socket, memory: l.memory, client: countedAddress(conn.RemoteAddr()), encrypted: l.encrypted}
		if l.memory.Take(c.client, budget.Connections, c.lump()) != nil {
			l.refuse(c)
			runtime.Gosched() // others have requests that are answered
			continue
		}
		// What the kernel holds for the connection counts for the process: in a cgroup it does.
		graphqlws.LimitUnsent(socket)
		_ = socket.SetReadBuffer(readBuffer) // a connection that is closed already is found out later
		c.reading.Store(true)
		return c, nil
	}
}

// refuse refuses a connection without holding up the next one.
func (l *clientListener) refuse(c *clientConn) {
	select {
	case l.refusing <- struct{}{}:
	default:
		_ = c.TCPConn.Close() // which nobody has written to
		return
	}
	l.refused.Go(func() {
		c.refuse()
		_ = c.TCPConn.Close() // what was to be said has been said
		<-l.refusing
	})
}

// Close implements net.Listener. It returns when nobody is being refused any more.
func (l *clientListener) Close() error {
	err := l.Listener.Close()
	l.refused.Wait()
	return err
}
