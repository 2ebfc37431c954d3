package hostile

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// measurement is all that was measured.
type measurement struct {
	server  *server
	attacks []*attackProcess
	clients *goodClients
	// before and after the loads, which lasted some time; recovery is how long after them.
	before, after    usage
	lasted, recovery time.Duration
	// recovered reports whether the server has come back to what it had before.
	recovered bool
	// lines and processors are what the server logged and who used the processors in the time of the loads.
	lines      int
	processors processors
}

// table returns it for people.
func (m *measurement) table() string {
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	row("LOAD\tCLIENTS\tHELD AT ONCE\tANSWERS")
	for _, a := range m.attacks {
		row("%s\t%d\t%s\t%s", a.load.name, a.clients, some(a.result.Held), a.answers())
	}
	row("\nWELL-BEHAVED CLIENT\tQUIET p50\tp99\tLOADED p50\tp99\tRATIO OF p99\tLARGEST ANSWER\tANSWERS\tERRORS\tCONNECTIONS")
	for _, client := range m.clients.pollers() {
		row("%s\t%s\t%s\t%s\t%s\t%.1f\t%d to %d KiB\t%d\t%d\t%d", client.name, client.milliseconds(quiet, 0.5), client.milliseconds(quiet, 0.99),
			client.milliseconds(loaded, 0.5), client.milliseconds(loaded, 0.99), client.ratio(),
			client.largest[quiet]>>10, client.largest[loaded]>>10, client.answers(), len(client.errs), client.connections.Load())
	}
	row("\nWELL-BEHAVED SUBSCRIBER\tQUIET\tLOADED\tAFTER")
	u := &m.clients.updates
	row("updates\t%d\t%d\t%d", u.updates[quiet], u.updates[loaded], u.updates[after])
	row("longest silence\t%s\t%s\t%s", tenths(u.silence[quiet]), tenths(u.silence[loaded]), tenths(u.silence[after]))
	s := m.server
	row("\nSERVER\tBEFORE\tMOST\tAFTER %s", tenths(m.recovery))
	row("goroutines\t%d\t\t%d", m.before.goroutines, m.after.goroutines)
	row("open files\t%d\t%d\t%d", m.before.files, s.most.files.Load(), m.after.files)
	row("resident memory\t\t%d MiB\t%d MiB", s.most.rss.Load()>>20, s.memory("VmRSS")>>20)
	if c := s.cgroup; c != nil {
		row("memory of the cgroup (v%d)\t\t%d MiB\t", c.files.version, c.read(cgroupField{file: c.files.most})>>20)
		if sockets := c.read(c.files.sockets); sockets >= 0 {
			row("memory of sockets, not in that\t\t%d MiB\t", sockets>>20)
		}
		row("times at the limit\t\t%d\t", c.read(c.files.failures))
	}
	row("lines logged in %s\t\t%d\t", tenths(m.lasted), m.lines)
	row("\nPROCESSORS\t%s", m.processors)
	out.Flush()
	return text.String()
}

func (p *poller) milliseconds(at stage, share float64) string {
	took, _ := p.latency(at, share)
	return fmt.Sprintf("%.1f ms", float64(took)/float64(time.Millisecond))
}

// answers returns how many there were in all.
func (p *poller) answers() int {
	total := 0
	for at := range stages {
		_, n := p.latency(at, 1)
		total += n
	}
	return total
}

// some returns a number, or nothing for none.
func some(number int) string {
	if number == 0 {
		return ""
	}
	return strconv.Itoa(number)
}

func tenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
