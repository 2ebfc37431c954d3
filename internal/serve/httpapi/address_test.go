package httpapi

import (
	"net"
	"testing"
)

func TestClientCountsByItsIPv4AddressOrIPv6Network(t *testing.T) {
	for want, remote := range map[string]net.Addr{
		"192.0.2.1":           &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 99},
		"192.0.2.2":           &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.2"), Port: 99},
		"2001:db8:1:2::/64":   &net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3::4"), Port: 99},
		"fe80::/64":           &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 99},
		"/run/pullwatch.sock": &net.UnixAddr{Name: "/run/pullwatch.sock", Net: "unix"},
	} {
		if got := countedAddress(remote); got != want {
			t.Errorf("%s: %s; want %s", remote, got, want)
		}
	}
}
