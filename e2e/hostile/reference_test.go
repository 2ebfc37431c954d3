package hostile

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// referenceVariable is the environment variable that makes this program the reference.
	referenceVariable = "PULLWATCH_HOSTILE_REFERENCE"
	// referenceMemory is more than the reference needs: it has buffers for each connection, and nothing bounds those.
	referenceMemory = 4 << 30
	// referenceTimeout is as long as pullwatch gives a request.
	referenceTimeout = 30 * time.Second
)

// startReference starts the reference: the least that a server made with net/http does under the loads. It reads requests, discards
// them, and gives well-behaved clients a constant. So its times are those of the Go runtime and the kernel on this machine.
func startReference(t *testing.T) *server {
	t.Helper()
	s := &server{limit: referenceMemory}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), referenceVariable+"=1")
	s.start(t, cmd)
	return s
}

// serveReference is the reference's process. It ends with SIGTERM.
func serveReference() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "go_goroutines %d\n", runtime.NumGoroutine())
	})
	mux.HandleFunc("/graphql", func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) {
			referenceSocket(w, r)
			return
		}
		first, err := firstOf(http.MaxBytesReader(w, r.Body, mebibyte))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if bytes.HasPrefix(first, []byte(goodQuery[:20])) {
			_, _ = io.WriteString(w, `{"data":{`+goodAnswer+`:[`+strings.Repeat(`{"id":"1","phase":"PULLING"},`, 100)+`{}]}}`) // the client may be gone
			return
		}
		_, _ = io.WriteString(w, `{"errors":[{"message":"refused","extensions":{"code":"UNAVAILABLE"}}]}`) // likewise
	})
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	serving := &http.Server{Handler: mux, ReadTimeout: referenceTimeout}
	failed := make(chan error, 1)
	go func() { failed <- serving.Serve(listener) }()
	fmt.Printf("url=http://%s/\n", listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-ended:
		return serving.Close()
	}
}

// firstOf reads all and returns the first bytes.
func firstOf(r io.Reader) ([]byte, error) {
	first := make([]byte, 128)
	n, err := io.ReadFull(r, first)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	} else if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return first[:n], err
}

var referenceUpgrader = websocket.Upgrader{
	ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{}, Subprotocols: []string{"graphql-transport-ws"},
}

// referenceSocket answers each message over a WebSocket, or sends updates to the well-behaved subscriber.
func referenceSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := referenceUpgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	defer conn.Close()
	for {
		_ = conn.SetReadDeadline(time.Now().Add(referenceTimeout)) // a connection that has failed shows that next
		_, message, err := conn.NextReader()
		if err != nil {
			return
		}
		first, err := firstOf(message)
		if err != nil {
			return
		}
		answer := `{"id":"1","type":"error","payload":[{"message":"refused","extensions":{"code":"BAD_INPUT"}}]}`
		switch {
		case bytes.Contains(first, []byte("connection_init")):
			answer = `{"type":"connection_ack"}`
		case strings.HasPrefix(goodSubscription, string(first)):
			tick := time.NewTicker(goodInterval)
			defer tick.Stop()
			for range tick.C {
				if conn.WriteMessage(websocket.TextMessage, []byte(`{"id":"1","type":"next","payload":{}}`)) != nil {
					return
				}
			}
		}
		if conn.WriteMessage(websocket.TextMessage, []byte(answer)) != nil {
			return
		}
	}
}
