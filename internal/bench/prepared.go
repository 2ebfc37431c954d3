package main

import (
	"net/http"
	"slices"
	"sync"

	"github.com/gorilla/websocket"
)

// prepared is the least that it takes to send an update to many: gorilla writes one prepared message to all sockets.
type prepared struct {
	text    []byte
	writers int

	mu      sync.Mutex
	sockets []*websocket.Conn
}

var upgrader = websocket.Upgrader{Subprotocols: []string{protocol}, WriteBufferPool: &sync.Pool{}}

// accept answers a client's first two messages as if it understood them, and ignores all others.
func (p *prepared) accept(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered the client
	}
	defer conn.Close()
	p.mu.Lock()
	p.sockets = append(p.sockets, conn) // before the answers: what is published after them is for this client, too
	p.mu.Unlock()
	for _, answer := range [][]byte{[]byte(`{"type":"connection_ack"}`), p.text} {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
		p.mu.Lock() // a client may have its answer, and an update be published, before the write returns
		err := conn.WriteMessage(websocket.TextMessage, answer)
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
	for err == nil {
		_, _, err = conn.NextReader()
	}
}

// publish sends the update to all sockets, and forgets those that are closed.
func (p *prepared) publish(Publication) error {
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, p.text)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var writing sync.WaitGroup
	for i := range p.writers {
		writing.Go(func() {
			for k := i; k < len(p.sockets); k += p.writers {
				if err := p.sockets[k].WritePreparedMessage(message); err != nil {
					p.sockets[k] = nil
				}
			}
		})
	}
	writing.Wait()
	p.sockets = slices.DeleteFunc(p.sockets, func(conn *websocket.Conn) bool { return conn == nil })
	return nil
}
