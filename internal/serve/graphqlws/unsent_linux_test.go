package graphqlws

import (
	"net"
	"testing"

	"pullwatch/internal/serve/transport/transporttest"
)

// The kernel does not take much more for a client that does not read than the client has room for.
func TestKernelBuffersLittleForAClientThatDoesNotRead(t *testing.T) {
	seen := &slowness{slow: make(chan struct{}, 1)}
	s := serve(t, Options{Observer: seen})
	conn := s.dial(t)
	if err := conn.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	source := &endless{}
	subscribeTo(t, s, conn, source)
	<-seen.slow
	conn.Close()
	transporttest.Drain(t, s.Transport)
	const most = 1 << 20 // by default it would be a multiple of this
	if bytes := source.sent * 1000; bytes > most {
		t.Errorf("%d bytes were taken for a client that does not read", bytes)
	}
}
