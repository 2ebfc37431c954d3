//go:build !linux

package graphqlws

import "net"

// limitUnsent does nothing: only Linux has such a limit for each socket.
func limitUnsent(net.Conn) {}
