package httpapi

import (
	"net"
	"net/http"

	"pullwatch/internal/caller"
)

// countedAddress returns what a client at that address counts as in limits. A client with IPv6 has a whole network of at
// least 64 bits.
func countedAddress(remote net.Addr) string {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return remote.String()
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	network, err := address.Prefix(64)
	if err != nil {
		return remote.String()
	}
	return network.String()
}

// clientAddress returns the countedAddress of a request's client, for all limits that count by address.
func clientAddress(r *http.Request) string { return caller.From(r.Context()).Address }
