// Command bench measures pullwatch. It is run in the root of the repository, prints what it found and writes it to docs/.
//
// One part is how fast the active pulls are listed, on a real Kubernetes and with a real Redis: straight from Kubernetes,
// from Redis, from memory, and over HTTP through the whole program. Another is serving GraphQL, from memory: against
// gqlgen's own transports with the same schema and resolvers, and against what writes the same bytes and does nothing else.
// The last is streaming logs: from memory against gqlgen's own transports, and those of real pods against kubectl logs.
// All that is compared takes turns in one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// longestRun bounds all of it, whatever hangs.
const longestRun = 20 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	err := command(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// command is what this process is started for: to be one of the benchmark's own processes, or the benchmark.
func command(ctx context.Context, arguments []string) error {
	own := map[string]struct {
		parameters int
		run        func(p []string) error
	}{
		plainCommand:    {2, func(p []string) error { return servePlain(ctx, p[0], p[1]) }},
		serveCommand:    {5, func(p []string) error { return serve(ctx, p[0], p[1], p[2], p[3], p[4]) }},
		preparedCommand: {5, func(p []string) error { return servePrepared(ctx, p[0], p[1], p[2], p[3], p[4]) }},
		clientsCommand:  {3, func(p []string) error { return serveClients(ctx, p[0], p[1], p[2]) }},
	}
	if len(arguments) > 0 {
		if c, ok := own[arguments[0]]; ok && len(arguments) == 1+c.parameters {
			return c.run(arguments[1:])
		}
	}
	b := &bench{}
	flag.StringVar(&b.only, "only", "", "which parts to measure, separated by commas: "+strings.Join(partNames(), ", ")+"; empty for all")
	flag.StringVar(&b.sizes, "pulls", "100,1000,10000", "numbers of pulls in the part lists")
	flag.IntVar(&b.rounds, "rounds", 5, "how often all that is compared takes turns")
	seconds := flag.Int("seconds", 35, "how long to measure lists with each number of pulls, in all rounds; turns of the other parts are in proportion")
	flag.IntVar(&b.connections, "connections", 15_000, "the most connections to measure with; a process needs as many open files")
	flag.IntVar(&b.podLines, "lines", 200_000, "how many lines the finished logs of pods have, or a tenth where lines are long")
	flag.StringVar(&b.docs, "docs", "docs", "where performance.md is and charts are written, for logs, for lists, and for serving if all parts of that are measured; empty for nowhere")
	flag.StringVar(&b.logImage, "log-image", "", "an image of e2e/lab/app.go, for pods that write logs; empty for the lab's")
	flag.StringVar(&b.profiles, "profiles", "", "directory for CPU profiles of the servers of GraphQL; empty for none, which takes them no time")
	flag.Parse()
	b.length = time.Duration(*seconds) * time.Second
	return b.run(ctx)
}

// bench is what all measurements share.
type bench struct {
	only, sizes, docs, profiles, logImage string
	connections, podLines                 int
	pace
	// dir is a directory for files.
	dir string
	// part is the name of the part that is being measured, profiled how many profiles there are.
	part     string
	profiled int
}

// upTo returns those of some numbers of connections that there may be, at least one.
func (b *bench) upTo(sizes ...int) []int {
	for i := range sizes {
		sizes[i] = min(sizes[i], b.connections)
	}
	return slices.Compact(sizes)
}

// servingPart is one of the parts of serving GraphQL.
type servingPart struct {
	name    string
	measure func(context.Context, *bench) (*findings, error)
}

// servingParts are all of them, in their order.
var servingParts = []servingPart{
	{"queries", queriesPart}, {"memory", memoryPart}, {"fanout", fanOutPart}, {"dashboards", dashboardsPart},
	{"stalled", stalledPart}, {"storm", stormPart},
}

// The parts that are reported for themselves.
const (
	listsPart = "lists"
	logsPart  = "logs"
)

func partNames() []string {
	names := []string{listsPart, logsPart}
	for _, p := range servingParts {
		names = append(names, p.name)
	}
	return names
}

func (b *bench) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, longestRun)
	defer cancel()
	wanted := partNames()
	if b.only != "" {
		wanted = strings.Split(b.only, ",")
	}
	for _, name := range wanted {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("-only=%s: there is no part %q", b.only, name)
		}
	}
	for flag, value := range map[string]int{"rounds": b.rounds, "connections": b.connections, "lines": b.podLines / 10} {
		if value < 1 {
			return fmt.Errorf("-%s: there would be nothing to measure", flag)
		}
	}
	if b.dir, err = os.MkdirTemp("", "pullwatch-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if slices.Contains(wanted, listsPart) {
		if err := b.measureLists(ctx); err != nil {
			return fmt.Errorf("lists: %w", err)
		}
	}
	if slices.Contains(wanted, logsPart) {
		if err := b.measureLogs(ctx); err != nil {
			return fmt.Errorf("logs: %w", err)
		}
	}
	return b.measureServing(ctx, wanted)
}

// where says what was measured on.
func where() string {
	return fmt.Sprintf("%d cores of %s, %s", runtime.NumCPU(), runtime.GOARCH, runtime.Version())
}
