package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// prepared is the floor of sending an update to many: gorilla writing the same prepared message to all sockets.
type prepared struct {
	text     []byte
	upgrader websocket.Upgrader
	writers  int

	mu      sync.Mutex
	sockets []*websocket.Conn
}

// preparedBy names the floor with a number of writers.
func preparedBy(writers int) string { return fmt.Sprintf("prepared messages, writers: %d", writers) }

// preparedCommand is the argument that makes this program such a server.
const preparedCommand = "prepared"

// servePrepared takes orders at an address and serves WebSockets at another one, until ctx is done. What it publishes is the
// content of file, sent by a number of writers at a time.
func servePrepared(ctx context.Context, control, address, file, writers, profile string) error {
	defer profiled(profile)()
	p := &prepared{upgrader: websocket.Upgrader{Subprotocols: []string{"graphql-transport-ws"}, WriteBufferPool: &sync.Pool{}}}
	var err error
	if p.text, err = os.ReadFile(file); err != nil {
		return err
	}
	if p.writers, err = strconv.Atoi(writers); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return takeOrders(ctx, control, orders(p.publish)) })
	group.Go(func() error { return serveUntil(ctx, listener, http.HandlerFunc(p.accept)) })
	return group.Wait()
}

// accept answers a client's first two messages as if they were understood, and ignores all others.
func (p *prepared) accept(w http.ResponseWriter, r *http.Request) {
	conn, err := p.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // and Upgrade has told the client
	}
	defer conn.Close()
	// Before the client is answered: nothing is published meanwhile, and all that is published then is for it.
	p.mu.Lock()
	p.sockets = append(p.sockets, conn)
	p.mu.Unlock()
	for _, answer := range [][]byte{[]byte(`{"type":"connection_ack"}`), p.text} {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
		if err := conn.WriteMessage(websocket.TextMessage, answer); err != nil {
			return
		}
	}
	for {
		if _, _, err := conn.NextReader(); err != nil {
			return
		}
	}
}

func (p *prepared) publish(ctx context.Context, all publication) (struct{}, error) {
	return struct{}{}, all.each(ctx, func(int) error {
		message, err := websocket.NewPreparedMessage(websocket.TextMessage, p.text)
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		var writing errgroup.Group
		for i := range p.writers {
			writing.Go(func() error {
				for k := i; k < len(p.sockets); k += p.writers {
					if err := p.sockets[k].WritePreparedMessage(message); err != nil {
						return err
					}
				}
				return nil
			})
		}
		return writing.Wait()
	})
}
