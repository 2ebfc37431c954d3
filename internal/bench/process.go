package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// startLimit bounds how long a process may take until it is of use, and whatever else takes moments; stopLimit bounds
	// how long it may take to end.
	startLimit = time.Minute
	stopLimit  = 20 * time.Second
)

// process is a program that the benchmark has started. It listens on address.
type process struct {
	address string
	command *exec.Cmd
	stop    context.CancelFunc
	output  bytes.Buffer
}

// start starts a program that is to listen on address. What it prints is shown if it ends badly.
func start(address, name string, args ...string) (*process, error) {
	// The process is ended by close alone, after what uses it.
	ctx, stop := context.WithCancel(context.Background())
	p := &process{address: address, command: exec.CommandContext(ctx, name, args...), stop: stop}
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	p.command.WaitDelay = stopLimit
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	if err := p.command.Start(); err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// close ends the process and waits for it.
func (p *process) close() {
	p.stop()
	if err := p.command.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s", p.command.Path, err, p.output.String())
	}
}

// cpu returns the CPU time that the process has used.
func (p *process) cpu(context.Context) (time.Duration, bool) { return cpuOf(p.command.Process.Pid) }

// ownCPU returns the CPU time that this process has used.
func ownCPU(context.Context) (time.Duration, bool) { return cpuOf(os.Getpid()) }

// cpuOf reads the CPU time of a process where the system tells it as Linux does.
func cpuOf(pid int) (time.Duration, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name, in parentheses, may hold anything. The 12th and the 13th field behind it are user and system time.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const tick = 10 * time.Millisecond
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, false
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, true
}

// get returns the body of a successful response.
func (p *process) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	return body, err
}

// metrics returns what the process says of itself.
func (p *process) metrics(ctx context.Context) (map[string]float64, error) {
	text, err := p.get(ctx, "/metrics")
	return parseMetrics(text), err
}

// parseMetrics returns the values of metrics in Prometheus' text form, by name and labels as they are written there.
func parseMetrics(text []byte) map[string]float64 {
	values := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		if space < 0 || line[0] == '#' {
			continue
		}
		if value, err := strconv.ParseFloat(line[space+1:], 64); err == nil {
			values[line[:space]] = value
		}
	}
	return values
}

// await returns when condition holds, which is asked for again and again: it is another process that brings it about.
func await(ctx context.Context, what string, condition func(context.Context) error) error {
	return within(ctx, startLimit, "wait until "+what, func(ctx context.Context) (last error) {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			err := condition(ctx)
			if err == nil {
				return nil
			}
			if last == nil || ctx.Err() == nil {
				last = err // and not that the time was over: that says less
			}
			select {
			case <-ctx.Done():
				return last
			case <-ticker.C:
			}
		}
	})
}

// within does work, which must not take longer than limit. Its error says what was waited for.
func within(ctx context.Context, limit time.Duration, what string, work func(context.Context) error) error {
	late := fmt.Errorf("it takes longer than %s", limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	err := work(ctx)
	if err == nil {
		return nil
	}
	if context.Cause(ctx) == late {
		err = fmt.Errorf("%w: %w", late, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// freeAddress returns an address of this machine that nobody listens on at the moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
