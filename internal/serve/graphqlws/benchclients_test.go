package graphqlws

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
)

// The clients of benchmarks are a process of their own, the test binary once more, so that what they need does not
// count as the server's.

// clientsVariable is set in that process, to what playClients reads from it.
const clientsVariable = "GRAPHQLWS_BENCHMARK_CLIENTS"

// clients are the clients of a benchmark. Each of their steps is answered with a line.
type clients struct {
	process *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
}

// startClients opens n WebSockets to the address.
func startClients(b *testing.B, address string, n int) *clients {
	c := &clients{process: exec.Command(os.Args[0])}
	c.process.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", clientsVariable, n, address))
	c.process.Stderr = os.Stderr
	var err error
	if c.orders, err = c.process.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	answers, err := c.process.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.answers = bufio.NewReader(answers)
	if err := c.process.Start(); err != nil {
		b.Fatal(err)
	}
	c.await(b)
	return c
}

// stop closes the WebSockets.
func (c *clients) stop(b *testing.B) {
	c.orders.Close()
	if err := c.process.Wait(); err != nil {
		b.Error(err)
	}
}

// await waits until all clients have done what they are to do.
func (c *clients) await(b *testing.B) {
	if _, err := c.answers.ReadString('\n'); err != nil {
		b.Fatal(err)
	}
}

// order makes each client send a message, if there is one, and then wait for the frame want. If updates is true they
// go on to wait for frames like that, and each time that all of them have one more is a step.
func (c *clients) order(b *testing.B, message string, want []byte, updates bool) {
	if _, err := fmt.Fprintf(c.orders, "%t %d %d\n%s%s", updates, len(message), len(want), message, want); err != nil {
		b.Fatal(err)
	}
}

// playClients is the other side of clients.
func playClients(config string) error {
	var n int
	var address string
	if _, err := fmt.Sscan(config, &n, &address); err != nil {
		return err
	}
	sockets := make([]net.Conn, n)
	for i := range sockets {
		var err error
		if sockets[i], err = dialRaw(address); err != nil {
			return err
		}
	}
	fmt.Println("open")
	orders := bufio.NewReader(os.Stdin)
	for {
		var updates bool
		var message, want int
		if _, err := fmt.Fscanf(orders, "%t %d %d\n", &updates, &message, &want); err != nil {
			return nil // there are no more
		}
		order := make([]byte, message+want)
		if _, err := io.ReadFull(orders, order); err != nil {
			return err
		}
		for _, socket := range sockets {
			if message == 0 {
				continue
			}
			if err := sendRaw(socket, order[:message]); err != nil {
				return err
			}
		}
		for _, socket := range sockets {
			if err := expectRaw(socket, order[message:]); err != nil {
				return err
			}
		}
		fmt.Println("done")
		if updates {
			takeUpdates(sockets, want)
		}
	}
}

// takeUpdates reads frames of the given length.
func takeUpdates(sockets []net.Conn, length int) {
	var received atomic.Int64
	for _, socket := range sockets {
		go func() {
			buffer := make([]byte, length)
			for {
				if _, err := io.ReadFull(socket, buffer); err != nil {
					return
				}
				if received.Add(1)%int64(len(sockets)) == 0 {
					fmt.Println("round")
				}
			}
		}()
	}
}

const handshake = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Protocol: graphql-transport-ws\r\nUser-Agent: bench\r\n\r\n"

const handshakeAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"

// dialRaw opens a WebSocket with as little memory as there can be.
func dialRaw(address string) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, handshake); err != nil {
		return nil, err
	}
	return conn, expectRaw(conn, []byte(handshakeAnswer))
}

func sendRaw(conn net.Conn, text []byte) error {
	frame := binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(text)))
	frame = append(frame, 0, 0, 0, 0) // a mask that changes nothing
	_, err := conn.Write(append(frame, text...))
	return err
}

// expectRaw reads as many bytes as it wants to see.
func expectRaw(conn net.Conn, want []byte) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}
