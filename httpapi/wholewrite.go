package httpapi

import (
	"bufio"
	"net"
	"net/http"
	"sync"
)

// net/http sends a response that is longer than its buffer of 4 KiB in two pieces: what the buffer takes, header and all,
// and the rest. Each costs the server and the client a system call, and the network a packet. Here both leave with one
// call.

// wholeListener accepts connections that can do so.
type wholeListener struct{ net.Listener }

func (l wholeListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if socket, ok := conn.(*net.TCPConn); ok {
		return &wholeConn{TCPConn: socket}, nil
	}
	return conn, err
}

// wholeConn is a connection that can hold back the beginning of a response. It belongs to the goroutine that serves it.
type wholeConn struct {
	*net.TCPConn
	holds bool
	// held is what is held back; nil when nothing is.
	held *[]byte
	// pieces and buffers are for writing two pieces with one call.
	pieces  [2][]byte
	buffers net.Buffers
}

// maxHeld is how much is held back: net/http's buffer.
const maxHeld = 4 << 10

var heldBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, maxHeld)) }}

func (c *wholeConn) Write(p []byte) (int, error) {
	switch {
	case c.held != nil:
		return c.writeHeldAnd(p)
	case !c.holds || len(p) > maxHeld:
		return c.TCPConn.Write(p)
	}
	c.held = heldBuffers.Get().(*[]byte)
	*c.held = append((*c.held)[:0], p...)
	return len(p), nil
}

func (c *wholeConn) writeHeldAnd(p []byte) (int, error) {
	held := c.held
	c.held = nil
	defer heldBuffers.Put(held)
	c.pieces = [2][]byte{*held, p}
	c.buffers = c.pieces[:]
	n, err := c.buffers.WriteTo(c.TCPConn)
	c.pieces = [2][]byte{}
	return max(0, int(n)-len(*held)), err
}

// wholeWriter is a ResponseWriter on a wholeConn.
type wholeWriter struct {
	http.ResponseWriter
	conn *wholeConn
}

// sendWhole returns w, or if it is on a wholeConn, one whose responses leave in one piece.
func sendWhole(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	conn, ok := r.Context().Value(connectionKey{}).(*wholeConn)
	if !ok {
		return w
	}
	return &wholeWriter{ResponseWriter: w, conn: conn}
}

func (w *wholeWriter) Write(p []byte) (int, error) {
	// What is written to the connection before this returns is not the end of the response: net/http keeps that back
	// until the response is finished or flushed.
	w.conn.holds = true
	n, err := w.ResponseWriter.Write(p)
	w.conn.holds = false
	return n, err
}

// Hijack implements http.Hijacker. Who takes the connection over has no use for the wholeConn.
func (w *wholeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if whole, ok := conn.(*wholeConn); ok {
		conn = whole.TCPConn
	}
	return conn, buffers, err
}

// Unwrap is for http.ResponseController.
func (w *wholeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
