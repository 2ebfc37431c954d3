// Package chaos lets faults hit three replicas at random while pulls run and clients follow them. Then it compares the states that
// all clients got with each other and with what the cluster had.
//
// The API server and the Job controller are real; so are Redis, alone, with a Sentinel or as a Cluster, and the replicas'
// processes. Only the kubelet is played: a pull's pod ends as the image's name says. Proxies break the connections between
// clients, replicas, Redis and the API server.
//
// A seed fixes which faults hit which replicas, when and for how long, and what clients do next. It does not fix the timing of
// processes, so a seed that has failed may pass when it runs again. The short form runs with the other end-to-end tests: one
// seed is always the same, one is new each time. The long form is `make chaos`. To run a seed again:
//
//	make chaos ARGS='-seed 4711 -seeds 1 -redis sentinel'
package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pullwatch/e2e/harness"
)

var (
	long      = flag.Bool("long", false, "more seeds for longer, with each kind of Redis, and the scenarios")
	firstSeed = flag.Uint64("seed", 0, "the first seed; 0 for one at random")
	seeds     = flag.Int("seeds", 5, "how many seeds run with -long or -seed")
	faultTime = flag.Duration("time", 0, "how long faults begin in each run (default 15s, or 1m with -long)")
	kinds     = flag.String("redis", "", "kinds of Redis, with commas between: "+allKinds+" (default all with -long, otherwise as the seed has it)")
	onlyFault = flag.String("faults", "", "names of the faults to choose from, with commas between; empty for all")
	program   = flag.String("program", "", "the pullwatch program; empty to build it")
)

// cluster is the one that all tests work on, binary the pullwatch program.
var (
	cluster harness.Cluster
	binary  string
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "pullwatch-chaos-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	if cluster, err = harness.OpenCluster(ctx, ".."); err != nil {
		return 0, err
	}
	binary = *program
	if binary == "" {
		binary = filepath.Join(dir, "pullwatch")
		if err := harness.Build(ctx, binary, filepath.Join("..", ".."), "."); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}
