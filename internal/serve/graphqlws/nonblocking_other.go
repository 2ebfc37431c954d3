//go:build !unix

package graphqlws

import (
	"net"
	"syscall"
)

// rawConn returns nil: here all writes are left to goroutines.
func rawConn(net.Conn) syscall.RawConn { return nil }

func (*queued) tryWrite(uintptr) {}
