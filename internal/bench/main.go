// Command bench measures pullwatch. It runs in its own directory, prints tables and writes them to docs/performance.md.
//
// It measures how fast a real Kubernetes, a real Redis, memory and the whole program list the active pulls; how fast GraphQL is
// served from memory, beside gqlgen's own transports and beside what only writes the same bytes; and how fast logs are streamed,
// beside gqlgen's own transports and kubectl. Whatever is compared takes turns.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"gonum.org/v1/plot"
)

// longestRun bounds all of it.
const longestRun = 20 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	slog.SetLogLoggerLevel(slog.LevelWarn)
	var commands struct {
		Bench bench        `cmd:"" default:"withargs" help:"Measure: the default command."`
		Serve serveCommand `cmd:"" hidden:""`
	}
	k := kong.Parse(&commands, kong.Name("bench"), kong.BindTo(ctx, (*context.Context)(nil)))
	k.FatalIfErrorf(k.Run())
}

// bench is the command line, and what all measurements share.
type bench struct {
	Only        []string `default:"lists,logs,queries,memory,fanout,dashboards,stalled,storm" enum:"lists,logs,queries,memory,fanout,dashboards,stalled,storm" help:"Parts to measure. (${default})"`
	Pulls       []int    `default:"100,1000,10000" help:"Numbers of pulls in the part lists. (${default})"`
	Rounds      int      `default:"5" help:"How often all that is compared takes turns. (${default})"`
	Seconds     int      `default:"35" help:"How long to measure lists with each number of pulls, in all rounds; turns of the other parts are in proportion. (${default})"`
	Connections int      `default:"15000" help:"The most connections to measure with; a process needs as many open files. (${default})"`
	Lines       int      `default:"200000" help:"How many lines the finished logs of pods have, or a tenth where lines are long. (${default})"`
	Docs        string   `default:"../../docs" help:"Where performance.md is and charts are written; empty for nowhere. (${default})"`
	LogImage    string   `default:"10.244.0.1:5000/app:1" help:"An image of e2e/lab/app.go, for pods that write logs. (${default}, the lab's)"`
	Profiles    string   `help:"Directory for CPU profiles of the servers of GraphQL; empty for none."`

	dir      string // for files
	part     string // that is being measured
	began    time.Time
	profiled int
	ends     []func()
}

// Validate is called by kong.
func (b *bench) Validate() error {
	if min(b.Rounds, b.Seconds, b.Connections/10, b.Lines/10, slices.Min(b.Pulls)) < 1 {
		return errors.New("there would be nothing to measure")
	}
	return nil
}

// length is how long lists are measured with one number of pulls.
func (b *bench) length() time.Duration { return time.Duration(b.Seconds) * time.Second }

// turn is the unit of the lengths of turns. A round of lists has nearly four of lists and eight of HTTP.
func (b *bench) turn() time.Duration { return b.length() / time.Duration(12*b.Rounds) }

// upTo lowers numbers of connections to the limit, and leaves out those that become equal.
func (b *bench) upTo(sizes ...int) []int {
	for i := range sizes {
		sizes[i] = min(sizes[i], b.Connections)
	}
	return slices.Compact(sizes)
}

// atEnd calls f at the end of the scope. Later calls run first.
func (b *bench) atEnd(f func()) { b.ends = append(b.ends, f) }

// tell prints how far the measurements are.
func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "after %.0f s: %s: %s\n", time.Since(b.began).Seconds(), b.part, fmt.Sprintf(format, args...))
}

// section is a section of the document.
type section struct {
	name  string
	goals []any // the head of the table of goals
	parts []part
}

type part struct {
	name    string
	measure func(*bench, context.Context, *findings) error
}

var sections = []section{
	{"lists", []any{"target", "wanted"}, []part{{"lists", (*bench).lists}}},
	{"logs", []any{"what", "wanted", "pullwatch", "compared with", "reached"}, []part{{"logs", (*bench).logs}}},
	{"serving", []any{"what", "wanted", "pullwatch", "plain gqlgen", "reached"}, []part{
		{"queries", (*bench).queries}, {"memory", (*bench).memory}, {"fanout", (*bench).fanOut},
		{"dashboards", (*bench).dashboards}, {"stalled", (*bench).stalled}, {"storm", (*bench).storm},
	}},
}

// Run measures the wanted parts. It writes those sections to the document that it has measured wholly.
func (b *bench) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, longestRun)
	defer cancel()
	if b.dir, err = os.MkdirTemp("", "pullwatch-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.began = time.Now()
	for _, s := range sections {
		f, measured := &findings{goals: newTable(s.goals...), charts: map[string]*plot.Plot{}}, 0
		for _, p := range s.parts {
			if !slices.Contains(b.Only, p.name) {
				continue
			}
			b.part = p.name
			b.tell("measuring")
			if p.name != "lists" { // The reader of lists stands for a replica. All others are clients, which leave the processors to servers.
				debug.SetGCPercent(400)
			}
			if err := b.scope(func() error { return p.measure(b, ctx, f) }); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			measured++
		}
		if measured == 0 {
			continue
		}
		if err := b.report(s.name, f, measured == len(s.parts) && b.Docs != ""); err != nil {
			return err
		}
	}
	return nil
}

// scope calls f, and then ends whatever f started.
func (b *bench) scope(f func() error) error {
	first := len(b.ends)
	defer func() {
		for _, end := range slices.Backward(b.ends[first:]) {
			end()
		}
		b.ends = b.ends[:first]
	}()
	return f()
}

// contender is one of the servers that are compared, with its subscribers.
type contender struct {
	*server
	*subscribers
	name string
}

// contend starts a server of a kind.
func (b *bench) contend(kind string, pulls int) (*contender, error) {
	return b.contender(kind, serveCommand{Kind: kind, Pulls: pulls})
}

// contendWith starts a server that sends body.
func (b *bench) contendWith(name, kind string, body []byte, writers int) (*contender, error) {
	file := filepath.Join(b.dir, "body.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return nil, err
	}
	return b.contender(name, serveCommand{Kind: kind, Pulls: 1, Body: file, Writers: writers})
}

func (b *bench) contender(name string, options serveCommand) (*contender, error) {
	if b.Profiles != "" {
		b.profiled++
		options.Profile = filepath.Join(b.Profiles, strconv.Itoa(b.profiled)+"-"+b.part+"-"+strings.ReplaceAll(options.Kind, " ", "-")+".pprof")
	}
	s, err := b.serve(options)
	if err != nil {
		return nil, err
	}
	c := &contender{server: s, name: name, subscribers: newSubscribers(s.address, options.Pulls)}
	b.atEnd(c.close)
	return c, nil
}

// candidate makes the contender take turns.
func (c *contender) candidate(length time.Duration, t turn) *candidate {
	return &candidate{name: c.name, length: length, turn: t, cpu: []meter{c.cpu}}
}
