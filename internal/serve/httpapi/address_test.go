package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"pullwatch/internal/serve/transport/transporttest"
)

func TestCallerIsAnIPv4AddressOrAnIPv6Network(t *testing.T) {
	for want, remote := range map[string]net.Addr{
		"192.0.2.1":           &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 99},
		"192.0.2.2":           &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.2"), Port: 99},
		"2001:db8:1:2::/64":   &net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3::4"), Port: 99},
		"fe80::/64":           &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 99},
		"/run/pullwatch.sock": &net.UnixAddr{Name: "/run/pullwatch.sock", Net: "unix"},
	} {
		if got := callerAt(remote); got != want {
			t.Errorf("%s: %s; want %s", remote, got, want)
		}
	}
}

// TestLimitsOfOneCallerLeaveOthersAlone: without a caller in the context of requests, all clients count as one.
func TestLimitsOfOneCallerLeaveOthersAlone(t *testing.T) {
	const (
		stream    = "GET /graphql?query=" + followPulls + " HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
		webSocket = "GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
			"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
	)
	for name, c := range map[string]struct {
		request string
		opened  int
	}{
		"streams": {stream, http.StatusOK}, "WebSockets": {webSocket, http.StatusSwitchingProtocols},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				limits := testLimits
				limits.MaxConnectionsPerAddress = 1
				_, server := newServed(limits, 1<<30)
				listener := transporttest.Listen()
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() { served <- server.Serve(ctx, listener) }()
				for _, client := range []struct {
					address string
					status  int
				}{
					{"192.0.2.1", c.opened}, {"192.0.2.1", http.StatusTooManyRequests}, {"192.0.2.2", c.opened},
					{"2001:db8::1", c.opened}, {"2001:db8::2", http.StatusTooManyRequests},
				} {
					conn := listener.Dial(t, &net.TCPAddr{IP: net.ParseIP(client.address), Port: 1})
					if _, err := io.WriteString(conn, c.request); err != nil {
						t.Fatal(err)
					}
					response, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil || response.StatusCode != client.status {
						t.Errorf("%s got %v, %v", client.address, response, err)
					}
				}
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
