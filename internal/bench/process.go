package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
)

// process is a program that the benchmark has started. It listens on address.
type process struct {
	address string
	command *exec.Cmd
}

// prepare returns a program to start. Its process ends with the scope.
func (b *bench) prepare(name string, arguments ...string) *process {
	ctx, stop := context.WithCancel(context.Background()) // the process ends after what uses it
	p := &process{command: exec.CommandContext(ctx, name, arguments...)}
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	p.command.WaitDelay = 20 * time.Second
	p.command.Stderr = os.Stderr
	b.atEnd(func() {
		stop()
		if p.command.Process == nil {
			return
		}
		if err := p.command.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		}
	})
	return p
}

// start starts a program that listens on an address. arguments returns its command line for a host and a port.
func (b *bench) start(name string, arguments func(host, port string) []string) (*process, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // for an address that nobody uses
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	host, port, err := net.SplitHostPort(address)
	if err := errors.Join(err, listener.Close()); err != nil {
		return nil, err
	}
	p := b.prepare(name, arguments(host, port)...)
	p.address = address
	return p, p.command.Start()
}

// server is a process that runs this program's command serve.
type server struct {
	*process
	orders *rpc.Client
}

// serve starts a server, and returns when it listens.
func (b *bench) serve(options serveCommand) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := b.prepare(self, options.arguments()...)
	in, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	pipe, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	defer time.AfterFunc(startLimit, func() { _ = p.command.Process.Kill() }).Stop()
	out := bufio.NewReader(pipe)
	if _, err := fmt.Fscanln(out, &p.address); err != nil {
		return nil, fmt.Errorf("the server %s does not tell its address: %w", options.Kind, err)
	}
	s := &server{p, rpc.NewClient(stdio{out, in})}
	b.atEnd(func() { _ = s.orders.Close() }) // ends the process
	return s, nil
}

// stdio is a connection over the standard input and output of a process.
type stdio struct {
	io.Reader
	io.WriteCloser
}

// publish makes the server publish new states, and returns after the last.
func (s *server) publish(ctx context.Context, p Publication) error {
	return s.call(ctx, "Publish", p, new(int))
}

// usage returns what the server has in use.
func (s *server) usage(ctx context.Context) (used Usage, err error) {
	if err = s.call(ctx, "Usage", 0, &used); err == nil {
		used.Resident = float64(s.stat().ResidentMemory())
	}
	return used, err
}

func (s *server) call(ctx context.Context, order string, in, out any) error {
	call := s.orders.Go("Server."+order, in, out, nil)
	select {
	case <-call.Done:
		return call.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cpu is a meter.
func (p *process) cpu(context.Context) float64 { return p.stat().CPUTime() }

func (p *process) stat() procfs.ProcStat { return statOf(p.command.Process.Pid) }

// ownCPU is the meter of this process.
func ownCPU(context.Context) float64 { return statOf(os.Getpid()).CPUTime() }

func statOf(pid int) procfs.ProcStat {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{} // the process has ended, and whatever needs it returns an error
	}
	stat, _ := proc.Stat()
	return stat
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

// metric returns the value of one of the process's metrics: see parseMetric.
func (p *process) metric(ctx context.Context, name string, labels ...string) (float64, error) {
	text, err := p.get(ctx, "/metrics")
	return parseMetric(text, name, labels...), err
}

// parseMetric adds up the metrics of a name, in Prometheus' text format, that have a label with each of the values. It returns
// NaN when the text has no such name.
func parseMetric(text []byte, name string, values ...string) (all float64) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, _ := parser.TextToMetricFamilies(bytes.NewReader(text)) // without a family after an error
	if families[name] == nil {
		return math.NaN()
	}
	for _, m := range families[name].GetMetric() {
		lacks := func(value string) bool {
			return !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == value })
		}
		if !slices.ContainsFunc(values, lacks) {
			all += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}
