package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// viaKubectl is the other way to read the logs of pods.
const viaKubectl = "kubectl logs"

// finished compares how fast the finished logs of pods are read. They have so many lines, or a tenth where lines are long.
func (l *logPods) finished(ctx context.Context, f *logFigures, p pace, lines int) error {
	for _, log := range []struct{ lines, size int }{{lines, 200}, {lines / 10, 4000}} {
		pod, err := l.runWhole(ctx, "size-"+strconv.Itoa(log.size), log.lines, log.size)
		if err != nil {
			return err
		}
		results, err := p.compare(ctx, &candidate{
			name: pullwatch, length: p.turn(), cpu: []meter{ownCPU, l.server.cpu},
			turn: finishedLogs(l.server.address, l.namespace, pod, log.lines),
		}, l.byKubectl(viaKubectl, p.turn(), pod), l.byKubectl(viaKubectl+" --timestamps", p.turn(), pod, "--timestamps"))
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%s lines of %s bytes, of a pod", thousands(log.lines), thousands(log.size))
		for _, r := range results {
			f.speed(name, r, log.lines)
		}
		ours, kubectl := results[0], results[1]
		for _, other := range results[1:] {
			f.add(name+": lines a second", "at least 95% of "+other.name, percent(ours.rateTo(other)),
				digits(other.perSecond()*float64(log.lines))+" lines a second", ours.rateTo(other) >= .95)
		}
		if log.size == 200 {
			cpu := func(r *result) string { return digits(perAnswer(r)) + " s" }
			f.add("CPU for all of that, client and server", "at most 2.1 s, as stern", cpu(ours), cpu(kubectl)+" kubectl",
				perAnswer(ours) <= 2.1)
		}
	}
	return nil
}

// byKubectl reads the log of a pod with kubectl.
func (l *logPods) byKubectl(name string, length time.Duration, pod string, flags ...string) *candidate {
	var used time.Duration
	return &candidate{
		name: name, length: length,
		cpu: []meter{func(context.Context) (time.Duration, bool) { return used, true }},
		turn: oneAfterTheOther(func(ctx context.Context) error {
			command := l.kubectl(ctx, pod, flags...)
			err := command.Run()
			used += command.ProcessState.UserTime() + command.ProcessState.SystemTime()
			return err
		}),
	}
}

// delays compares how long lines take from a container to its readers, who follow it for a length, and until each has a line.
func (l *logPods) delays(ctx context.Context, f *logFigures, length time.Duration) error {
	const pod = "slow"
	if err := l.run(ctx, pod, forEver, 2, 200); err != nil {
		return err
	}
	var mu sync.Mutex // guards both
	var ours, kubectl []time.Duration
	err := within(ctx, length+startLimit, "follow pod "+pod, func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		began := time.Now()
		into := func(delays *[]time.Duration) func(time.Time) {
			return func(written time.Time) {
				mu.Lock()
				defer mu.Unlock()
				// What was written before somebody asked has waited for that.
				if written.After(began.Add(length / 10)) {
					*delays = append(*delays, time.Since(written))
				}
				if time.Since(began) > length && len(ours) > 0 && len(kubectl) > 0 {
					stop()
				}
			}
		}
		r, err := readLog(ctx, l.server.address, map[string]any{"namespace": l.namespace, "pod": pod, "tailLines": 0})
		if err != nil {
			return err
		}
		defer r.close()
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return r.follow(ctx, into(&ours)) })
		group.Go(func() error { return l.followWithKubectl(ctx, pod, into(&kubectl)) })
		if err := group.Wait(); err != nil {
			return err
		}
		if len(ours) == 0 || len(kubectl) == 0 {
			return errors.New("no lines have come")
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(ours)
	slices.Sort(kubectl)
	tail, other := percentile(ours, 99), percentile(kubectl, 99)
	f.add(fmt.Sprintf("p99 of the delay of %s lines while following one container", thousands(len(ours))),
		"less than 50 ms over kubectl's", round(tail), round(other), tail-other < 50*time.Millisecond)
	return nil
}

// followWithKubectl reads until ctx is done, and tells the timestamp of each line as it comes.
func (l *logPods) followWithKubectl(ctx context.Context, pod string, came func(written time.Time)) error {
	command := l.kubectl(ctx, pod, "--follow", "--tail=0", "--timestamps")
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		stamp, _, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		written, err := time.Parse(time.RFC3339Nano, string(stamp))
		if err != nil {
			return errors.Join(err, command.Cancel(), command.Wait())
		}
		came(written)
	}
	if err := command.Wait(); ctx.Err() == nil {
		return fmt.Errorf("kubectl has ended: %w", errors.Join(err, lines.Err()))
	}
	return nil
}

// memory measures what the whole server takes at most while clients follow pods that write much, for a length.
func (l *logPods) memory(ctx context.Context, f *logFigures, length time.Duration) error {
	const clients, size = 5, 5600
	pods := make([]string, clients)
	starting, startCtx := errgroup.WithContext(ctx)
	for i := range pods {
		pods[i] = fmt.Sprintf("quick-%d", i)
		starting.Go(func() error { return l.run(startCtx, pods[i], forEver, 1, size) })
	}
	if err := starting.Wait(); err != nil {
		return err
	}
	readers := make([]*logReader, clients)
	for i, pod := range pods {
		r, err := readLog(ctx, l.server.address, map[string]any{"namespace": l.namespace, "pod": pod, "tailLines": 0})
		if err != nil {
			return err
		}
		defer r.close()
		readers[i] = r
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	began := time.Now()
	var lines atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range readers {
		group.Go(func() error {
			err := r.follow(ctx, nil)
			lines.Add(int64(r.lines))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	peak, err := l.server.peakMemory()
	if err != nil {
		return err
	}
	rate := float64(lines.Load()) * size / clients / time.Since(began).Seconds() / 1e6
	f.add(fmt.Sprintf("%d clients that follow pods of %.1f MB a second each: most memory of the whole server", clients, rate),
		"less than 100 MB", fmt.Sprintf("%.0f MB", peak/1e6), unknown, peak < 100e6)
	return nil
}

// peakMemory returns the most that the process has held of the machine's memory since it began, in bytes.
func (p *process) peakMemory() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(status, []byte("VmHWM:"))
	fields := bytes.Fields(after)
	if len(fields) == 0 {
		return 0, errors.New("the system does not tell how much memory a process has held")
	}
	kilobytes, err := strconv.ParseFloat(string(fields[0]), 64)
	return 1024 * kilobytes, err
}
