// Command bench measures how fast the active pulls are listed, on a real Kubernetes and with a real Redis: straight
// from Kubernetes, from Redis, from memory, and over HTTP through the whole program. All take turns in one run. It is
// run in the root of the repository, prints what it found and writes it to docs/.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// longestRun bounds all of it, whatever hangs.
const longestRun = 15 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	var err error
	if len(os.Args) == 4 && os.Args[1] == plainCommand {
		err = servePlain(ctx, os.Args[2], os.Args[3])
	} else {
		sizes := flag.String("pulls", "100,1000,10000", "numbers of pulls to measure with")
		seconds := flag.Int("seconds", 35, "how long to measure with each of them")
		docs := flag.String("docs", "docs", "where performance.md is and list-latency.svg is written; empty for nowhere")
		flag.Parse()
		err = run(ctx, *sizes, time.Duration(*seconds)*time.Second, *docs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, sizes string, length time.Duration, docs string) error {
	ctx, cancel := context.WithTimeout(ctx, longestRun)
	defer cancel()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	b := &bench{length: length}
	var err error
	if b.dir, err = os.MkdirTemp("", "pullwatch-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	b.program = filepath.Join(b.dir, "pullwatch")
	if err := buildProgram(ctx, b.program); err != nil {
		return err
	}
	if b.cluster, err = connect(ctx); err != nil {
		return err
	}
	if b.redis, err = startRedis(ctx); err != nil {
		return err
	}
	defer b.redis.close()
	var all []*figures
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			return fmt.Errorf("-pulls=%s: expected numbers of pulls, separated by commas", sizes)
		}
		f, err := b.measure(ctx, n)
		if err != nil {
			return fmt.Errorf("with %d pulls: %w", n, err)
		}
		all = append(all, f)
	}
	return report(all, b.cluster.version(), docs)
}

// bench is what all measurements share.
type bench struct {
	// length is how long it takes with one number of pulls.
	length time.Duration
	// dir is a directory for files, program the pullwatch that is measured.
	dir, program string
	cluster      *cluster
	redis        *process
}

// measure measures with n pulls.
func (b *bench) measure(ctx context.Context, n int) (*figures, error) {
	began := time.Now()
	tell := func(what string) {
		fmt.Fprintf(os.Stderr, "%s pulls, after %.0f s: %s\n", thousands(n), time.Since(began).Seconds(), what)
	}
	tell("starting them")
	namespace, remove, err := b.cluster.fill(ctx, n)
	defer remove()
	if err != nil {
		return nil, err
	}
	tell("starting two replicas")
	leader, follower, err := startReplicas(ctx, b.program, b.cluster, b.redis, namespace)
	if err != nil {
		return nil, err
	}
	defer leader.close()
	defer follower.close()
	// A round has nearly four turns of lists and eight of HTTP.
	turn := b.length / (12 * rounds)
	f := &figures{pulls: n}
	tell("measuring lists")
	if f.lists, err = compareLists(ctx, b.cluster, b.redis, namespace, n, turn); err != nil {
		return nil, err
	}
	tell("measuring HTTP")
	if f.http, f.hits, err = compareHTTP(ctx, follower, b.dir, n, turn); err != nil {
		return nil, err
	}
	tell("done")
	return f, nil
}

// report prints the figures and, unless docs is empty, writes them there.
func report(all []*figures, kubernetes, docs string) error {
	where := fmt.Sprintf("%d cores of %s, %s, Kubernetes %s.", runtime.NumCPU(), runtime.GOARCH, runtime.Version(), kubernetes)
	tables := []*table{targets(all), latencies(all)}
	text := "\n" + where + "\n"
	fmt.Println(where)
	for _, t := range tables {
		fmt.Println()
		if err := t.print(os.Stdout); err != nil {
			return err
		}
		text += "\n" + t.markdown()
	}
	if docs == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(docs, "list-latency.svg"), []byte(chart(all)), 0o644); err != nil {
		return err
	}
	return replaceGenerated(filepath.Join(docs, "performance.md"), text+"\n")
}
