//go:build !linux

package graphqlws

import "net"

// LimitUnsent does nothing: only Linux has such a limit for each socket.
func LimitUnsent(net.Conn) {}
