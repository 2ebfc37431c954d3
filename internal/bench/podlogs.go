package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/prometheus/procfs"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// logPods are pods that write logs, in a namespace of their own, and a pullwatch that streams them.
type logPods struct {
	*bench
	cluster   *cluster
	namespace string
	server    *process
}

// podLogs measures the logs of pods.
func (b *bench) podLogs(ctx context.Context, f *findings, speeds func(log string, lines int, results []*result)) (err error) {
	l := &logPods{bench: b}
	if l.cluster, err = b.connect(ctx); err != nil {
		return err
	}
	f.kubernetes = l.cluster.version
	if l.namespace, err = b.newNamespace(ctx, l.cluster); err != nil {
		return err
	}
	if l.server, err = b.startReplica(ctx, l.cluster, l.namespace); err != nil {
		return err
	}
	for _, log := range []struct{ lines, size int }{{b.Lines, 200}, {b.Lines / 10, 4000}} {
		name := fmt.Sprintf("%s lines of %s bytes, of a pod", thousands(log.lines), thousands(log.size))
		b.tell("%s", name)
		pod, err := l.runWhole(ctx, "size-"+strconv.Itoa(log.size), log.lines, log.size)
		if err != nil {
			return err
		}
		results, err := b.compare(ctx,
			&candidate{name: pullwatch, length: b.turn(), cpu: []meter{ownCPU, l.server.cpu},
				turn: finishedLog(l.server.address, l.namespace, pod, log.lines)},
			l.byKubectl("kubectl logs", pod), l.byKubectl("kubectl logs --timestamps", pod, "--timestamps"))
		if err != nil {
			return err
		}
		speeds(name, log.lines, results)
		ours, kubectl := results[0], results[1]
		for _, other := range results[1:] {
			f.goal(name+": lines a second", "at least 95% of "+other.name, percent(ours.rateTo(other)),
				digits(other.perSecond()*float64(log.lines))+" lines a second", ours.rateTo(other) >= .95)
		}
		if log.size == 200 {
			f.goal("CPU for all of that, client and server", "at most 2.1 s, as stern", digits(ours.cpuEach())+" s",
				digits(kubectl.cpuEach())+" s kubectl", ours.cpuEach() <= 2.1)
		}
	}
	b.tell("following a pod")
	if err := l.delays(ctx, f, "lines while following one container", 2, 50*time.Millisecond); err != nil {
		return err
	}
	if err := l.delays(ctx, f, "lines that come alone", 20, 2*time.Millisecond); err != nil {
		return err
	}
	b.tell("following pods that write as fast as they can")
	return l.peak(ctx, f)
}

const forEver = 0 // as a number of lines

// run starts a pod that writes lines of a size in bytes, with a pause in milliseconds after each, and waits until it has written
// all of them, or writes.
func (l *logPods) run(ctx context.Context, name string, lines, pause, size int) error {
	wanted := corev1.PodSucceeded
	if lines == forEver {
		wanted = corev1.PodRunning
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "main", Image: l.LogImage,
				Args: []string{"log", strconv.Itoa(lines), strconv.Itoa(pause), strconv.Itoa(size)},
			}},
		},
	}
	pods := l.cluster.client.CoreV1().Pods(l.namespace)
	// A new namespace takes no pods before it has its service account.
	err := await(ctx, "pod "+name+" is made", func(ctx context.Context) error {
		_, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return await(ctx, "pod "+name+" is "+string(wanted), func(ctx context.Context) error {
		pod, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err == nil && pod.Status.Phase != wanted {
			err = errors.New("it is " + string(pod.Status.Phase))
		}
		return err
	})
}

// runWhole has a pod write a log, again until its node keeps all of it: a log that is rotated while it is written can only be
// read in part.
func (l *logPods) runWhole(ctx context.Context, name string, lines, size int) (pod string, err error) {
	for try := range 5 {
		pod = fmt.Sprintf("%s-%d", name, try)
		if err = l.run(ctx, pod, lines, 0, size); err != nil {
			return "", err
		}
		text, err := l.kubectl(ctx, pod).Output()
		if err != nil || bytes.Count(text, []byte("\n")) == lines {
			return pod, err
		}
	}
	return "", fmt.Errorf("the node keeps less than %d lines: it needs a higher containerLogMaxSize", lines)
}

// kubectl returns the command that reads a pod's log.
func (l *logPods) kubectl(ctx context.Context, pod string, flags ...string) *exec.Cmd {
	arguments := []string{"--kubeconfig=" + l.cluster.kubeconfig, "--namespace=" + l.namespace, "logs", pod}
	return exec.CommandContext(ctx, l.cluster.kubectl, append(arguments, flags...)...)
}

// byKubectl reads the log of a pod with kubectl.
func (l *logPods) byKubectl(name, pod string, flags ...string) *candidate {
	var used time.Duration
	return &candidate{
		name: name, length: l.turn(), cpu: []meter{func(context.Context) float64 { return used.Seconds() }},
		turn: repeat(func(ctx context.Context) error {
			command := l.kubectl(ctx, pod, flags...)
			err := command.Run()
			used += command.ProcessState.UserTime() + command.ProcessState.SystemTime()
			return err
		}),
	}
}

// delays compares how long lines take from a container to two readers that follow it, until each has lines. The container writes
// one each so many milliseconds. At the 99th percentile, pullwatch may be later than kubectl by less than most.
func (l *logPods) delays(ctx context.Context, f *findings, which string, pause int, most time.Duration) error {
	pod := fmt.Sprintf("every-%d-ms", pause)
	if err := l.run(ctx, pod, forEver, pause, 200); err != nil {
		return err
	}
	length := l.length() * 2 / 7
	ours, kubectl := newTimes(), newTimes()
	err := within(ctx, length+startLimit, "follow pod "+pod, func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		began := time.Now()
		var mu sync.Mutex
		into := func(delays *hdrhistogram.Histogram) func(string) error {
			return func(written string) error {
				at, err := time.Parse(time.RFC3339Nano, written)
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				if at.After(began.Add(length / 10)) { // what was written before has waited for its readers
					_ = delays.RecordValue(int64(time.Since(at))) // no line takes longer than the reading
				}
				if time.Since(began) > length && ours.TotalCount() > 0 && kubectl.TotalCount() > 0 {
					stop()
				}
				return nil
			}
		}
		r, err := readLog(ctx, l.server.address, map[string]any{"namespace": l.namespace, "pod": pod, "tailLines": 0})
		if err != nil {
			return err
		}
		defer r.Close()
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return r.follow(ctx, into(ours)) })
		group.Go(func() error { return l.followByKubectl(ctx, pod, into(kubectl)) })
		return group.Wait()
	})
	if err != nil {
		return err
	}
	tail, other := time.Duration(ours.ValueAtPercentile(99)), time.Duration(kubectl.ValueAtPercentile(99))
	f.goal(fmt.Sprintf("p99 of the delay of %s %s", thousands(int(ours.TotalCount())), which),
		fmt.Sprintf("less than %v over kubectl's", most), round(tail), round(other), tail-other < most)
	return nil
}

// followByKubectl reads until ctx is done, and calls came with the timestamp of each line.
func (l *logPods) followByKubectl(ctx context.Context, pod string, came func(written string) error) error {
	command := l.kubectl(ctx, pod, "--follow", "--tail=0", "--timestamps")
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && err == nil {
		written, _, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		err = came(string(written))
	}
	if err != nil {
		err = errors.Join(err, command.Cancel())
	}
	if waited := command.Wait(); ctx.Err() == nil {
		return fmt.Errorf("kubectl has ended: %w", errors.Join(err, waited, lines.Err()))
	}
	return nil
}

// peak measures what the whole server takes at most while clients follow pods that write much.
func (l *logPods) peak(ctx context.Context, f *findings) error {
	const clients, size = 5, 5600
	readers := make([]*logReader, clients)
	starting, startCtx := errgroup.WithContext(ctx)
	for i := range readers {
		starting.Go(func() error { return l.run(startCtx, fmt.Sprintf("quick-%d", i), forEver, 1, size) })
	}
	if err := starting.Wait(); err != nil {
		return err
	}
	for i := range readers {
		input := map[string]any{"namespace": l.namespace, "pod": fmt.Sprintf("quick-%d", i), "tailLines": 0}
		r, err := readLog(ctx, l.server.address, input)
		if err != nil {
			return err
		}
		defer r.Close()
		readers[i] = r
	}
	ctx, cancel := context.WithTimeout(ctx, l.length()*3/7)
	defer cancel()
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range readers {
		group.Go(func() error { return r.follow(ctx, nil) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	lines := 0
	for _, r := range readers {
		lines += r.lines
	}
	most := math.NaN()
	if proc, err := procfs.NewProc(l.server.command.Process.Pid); err == nil {
		status, err := proc.NewStatus()
		if err != nil {
			return err
		}
		most = float64(status.VmHWM)
	}
	rate := float64(lines) * size / clients / time.Since(began).Seconds() / 1e6
	f.goal(fmt.Sprintf("%d clients that follow pods of %.1f MB a second each: most memory of the whole server", clients, rate),
		"less than 100 MB", fmt.Sprintf("%.0f MB", most/1e6), unknown, most < 100e6)
	return nil
}
