package harness

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Patience bounds every wait. It is so long that only what will never happen takes longer.
const Patience = 3 * time.Minute

// Eventually waits for something outside of this process that tells nobody when it comes.
func Eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	if !Within(t, Patience, is) {
		t.Fatalf("waited %s in vain until %s", Patience, what)
	}
}

// Within is like Eventually and reports whether it came in time.
func Within(t *testing.T, limit time.Duration, is func() bool) bool {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			return false
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	return true
}

// Pause lets time pass that is part of what is tested, such as how long a fault lasts.
func Pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// lastPort is the last one that FreeAddress has tried. Tests that run at the same time do not begin with the same.
var lastPort atomic.Int32

func init() { lastPort.Store(rand.Int32N(ports)) }

// FreeAddress returns ports from firstPort on.
const firstPort, ports = 10_000, 2_000

// FreeAddress returns an address of host that nobody listens on, and that it has not returned before. Its port is none of
// those that the system gives to outgoing connections.
func FreeAddress(t *testing.T, host string) string {
	t.Helper()
	for range ports {
		port := firstPort + int(lastPort.Add(1))%ports
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			listener.Close()
			return listener.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
