// Command copier copies an image between registries and says, on standard error, how much memory that took at most.
// Usage: copier SRC DST INSECURE-REGISTRY...
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"pullwatch/internal/mirror"
)

func main() {
	opts := mirror.Options{Source: os.Args[1], Destination: os.Args[2], InsecureRegistries: os.Args[3:]}
	code := mirror.Command(context.Background(), opts, os.Stdout, "")
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmHWM:") {
			fmt.Fprint(os.Stderr, line)
		}
	}
	os.Exit(code)
}
