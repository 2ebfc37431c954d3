package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// listsBench is what the measurements of lists share.
type listsBench struct {
	*bench
	// program is the pullwatch that is measured.
	program string
	cluster *cluster
	redis   *process
}

// measureLists measures lists with each number of pulls, and reports.
func (b *bench) measureLists(ctx context.Context) error {
	l := &listsBench{bench: b, program: filepath.Join(b.dir, "pullwatch")}
	if err := buildProgram(ctx, l.program); err != nil {
		return err
	}
	var err error
	if l.cluster, err = connect(ctx); err != nil {
		return err
	}
	if l.redis, err = startRedis(ctx); err != nil {
		return err
	}
	defer l.redis.close()
	var all []*figures
	for size := range strings.SplitSeq(b.sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			return fmt.Errorf("-pulls=%s: expected numbers of pulls, separated by commas", b.sizes)
		}
		f, err := l.measure(ctx, n)
		if err != nil {
			return fmt.Errorf("with %d pulls: %w", n, err)
		}
		all = append(all, f)
	}
	return l.report(all)
}

// measure measures with n pulls.
func (b *listsBench) measure(ctx context.Context, n int) (*figures, error) {
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
	f := &figures{pulls: n}
	tell("measuring lists")
	if f.lists, err = compareLists(ctx, b.cluster, b.redis, namespace, n, b.pace); err != nil {
		return nil, err
	}
	tell("measuring HTTP")
	if f.http, f.hits, err = compareHTTP(ctx, follower, b.dir, n, b.pace); err != nil {
		return nil, err
	}
	tell("done")
	return f, nil
}

// report prints the figures and writes them to the documentation.
func (b *listsBench) report(all []*figures) error {
	chart := chartFile{"list-latency.svg", chart(all)}
	return b.bench.report("lists", where()+", Kubernetes "+b.cluster.version()+".", []*table{targets(all), latencies(all)}, chart)
}
