package redistest

import (
	"os/exec"
	"syscall"
)

// endWithTest makes the kernel end the process when the test ends without its cleanup, as after a panic or a timeout.
func endWithTest(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
