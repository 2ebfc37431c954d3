// Package hostile shows how a replica serves well-behaved clients while others do their worst. The program runs with its embedded
// cluster under the memory limit of deploy/pullwatch.yaml. Floods of expensive requests come from 127.0.0.1. Well-behaved
// clients at 127.0.0.2 must notice nothing.
//
// Where the test may make a memory cgroup, which takes root, that has the memory limit, and the kernel's OOM killer enforces it.
// Elsewhere the limit is GOMEMLIMIT, and the test itself kills a server that exceeds it.
//
// The short form runs with the other end-to-end tests and depends on no speed. The long one is `make hostile`; it measures
// latencies beside those of a reference, a handler that does nothing but discard what it is sent. The
// server's own settings can be given in its environment, such as PULLWATCH_MAX_CONNECTIONS.
package hostile

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	long          = flag.Bool("long", false, "ten times the clients for two minutes, and latencies are checked")
	loadTime      = flag.Duration("load-time", 0, "how long the loads last (default 8s, or 2m with -long)")
	only          = flag.String("only", "", "names of the loads to run, with commas between; empty for all")
	program       = flag.String("program", "", "the pullwatch program; empty to build it")
	withoutCgroup = flag.Bool("without-cgroup", false, "limit memory as where no cgroup can be made")
)

// binary is the pullwatch program.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if text := os.Getenv(assignmentVariable); text != "" {
		exit("attack", attack(text))
	}
	if os.Getenv(referenceVariable) != "" {
		exit("reference", serveReference())
	}
	code, err := run(m)
	if err != nil {
		exit("hostile", err)
	}
	os.Exit(code)
}

// exit ends the process, with code 1 if there is an error.
func exit(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(m *testing.M) (int, error) {
	if *loadTime == 0 {
		*loadTime = pick(8*time.Second, 2*time.Minute)
	}
	if *program != "" {
		binary = *program
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "pullwatch-hostile-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "pullwatch")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, ".")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build pullwatch: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// pick returns the first value for the short form of the test and the second for the long one.
func pick[T any](short, longer T) T {
	if *long {
		return longer
	}
	return short
}
