package httpapi

import (
	"bufio"
	"net"
	"net/http"
	"sync"
)

// net/http writes a response that is longer than its buffer of 4 KiB in two pieces: the full buffer, which begins with the
// header, and the rest. Each piece costs the server and the client a system call, and the network a packet. This file
// writes both with one system call.

// wholeWrite holds back the first piece of a response.
type wholeWrite struct {
	holds bool // whether to hold back what is written now
	// held is the piece that is held back, or nil.
	held *[]byte
	// pieces and buffers are for writing two pieces with one system call.
	pieces  [2][]byte
	buffers net.Buffers
}

// maxHeld is how many bytes are held back: the length of net/http's buffer.
const maxHeld = 4 << 10

var heldBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, maxHeld)) }}

func (c *clientConn) Write(p []byte) (int, error) {
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

func (c *clientConn) writeHeldAnd(p []byte) (int, error) {
	held := c.held
	c.held = nil
	defer heldBuffers.Put(held)
	c.pieces = [2][]byte{*held, p}
	c.buffers = c.pieces[:]
	n, err := c.buffers.WriteTo(c.TCPConn)
	c.pieces = [2][]byte{}
	return max(0, int(n)-len(*held)), err
}

// wholeWriter is a ResponseWriter on a clientConn.
type wholeWriter struct {
	http.ResponseWriter
	conn *clientConn
}

// sendWhole returns a ResponseWriter that writes a response in one piece. It returns w if the connection is encrypted.
func sendWhole(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	conn, ok := r.Context().Value(connectionKey{}).(*clientConn)
	if !ok {
		return w
	}
	return &wholeWriter{ResponseWriter: w, conn: conn}
}

func (w *wholeWriter) Write(p []byte) (int, error) {
	// What net/http writes to the connection before it returns is not the end of the response: it writes the end when the
	// response is finished or flushed.
	w.conn.holds = true
	n, err := w.ResponseWriter.Write(p)
	w.conn.holds = false
	return n, err
}

// Hijack implements http.Hijacker. It returns the TCPConn without the clientConn: the hijacker counts its own memory.
func (w *wholeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if c, ok := conn.(*clientConn); ok {
		conn = c.TCPConn
	}
	return conn, buffers, err
}

// Unwrap is for http.ResponseController.
func (w *wholeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
