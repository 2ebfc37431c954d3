package httpapi

import (
	"net"
	"net/http"

	"pullwatch/internal/caller"
)

// callerAt returns the caller of a connection from a TCP address. A client with IPv6 has a network of 64 bits or more, so its
// caller is the first 64 bits of its address.
func callerAt(remote net.Addr) string {
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

// callerOf returns the caller of a request, which all limits for callers have as their key.
func callerOf(r *http.Request) string { return caller.From(r.Context()).Address }
