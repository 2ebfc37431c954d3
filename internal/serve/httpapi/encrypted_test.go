package httpapi

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
)

// Messages over a WebSocket with TLS do not count as a header, however long the WebSocket lasts.
func TestMessagesOfAnEncryptedWebSocketDoNotCountAsAHeader(t *testing.T) {
	const total = 10 * encryptedMemory
	memory := budget.New(total, prometheus.NewRegistry())
	server := httptest.NewUnstartedServer(countParsedHeaders(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for {
			kind, text, err := conn.ReadMessage()
			if err != nil {
				return // the client has left
			}
			if err := conn.WriteMessage(kind, text); err != nil {
				t.Error(err)
			}
		}
	})))
	server.Listener = newClientListener(server.Listener, memory, true)
	server.Config.ConnState = trackState
	server.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, conn)
	}
	server.StartTLS()
	dialer := websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	conn, _, err := dialer.Dial("wss"+strings.TrimPrefix(server.URL, "https"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatalf("it was cut off: %v", err)
		}
	}
	if err := memory.Take("", budget.Requests, total-encryptedMemory); err != nil {
		t.Errorf("more than the connection is taken: %v", err)
	}
	memory.Give("", budget.Requests, total-encryptedMemory)
	conn.Close()
	server.Close()
}
