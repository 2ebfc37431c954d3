package hostile

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// processors is who used the processors in a time. Latencies say little where other programs used much of it.
type processors struct{ server, loads, clients, others, idle time.Duration }

// processorsNow returns what was used until now. What it shows as used by others includes what is used by all.
func (s *server) processorsNow() processors {
	var now processors
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		// cpu user nice system idle iowait irq softirq steal: the times that follow are in these.
		if fields := bytes.Fields(stat); len(fields) > 8 {
			now.others = ticks(fields[1], fields[2], fields[3], fields[6], fields[7], fields[8])
			now.idle = ticks(fields[4], fields[5])
		}
	}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err == nil {
		now.clients = time.Duration(own.Utime.Nano() + own.Stime.Nano())
	}
	now.server = s.processorTime()
	return now
}

// since returns what was used after an earlier moment, of which the loads' processes used what is given.
func (p processors) since(earlier processors, loads time.Duration) processors {
	used := processors{
		server: p.server - earlier.server, loads: loads, clients: p.clients - earlier.clients, idle: p.idle - earlier.idle,
	}
	used.others = max(0, p.others-earlier.others-used.server-used.loads-used.clients)
	return used
}

func (p processors) String() string {
	share := func(d time.Duration) string {
		all := p.server + p.loads + p.clients + p.others + p.idle
		return fmt.Sprintf("%.0f %%", 100*d.Seconds()/max(all.Seconds(), 0.01))
	}
	return fmt.Sprintf("server %s, loads %s, well-behaved clients %s, other programs %s",
		share(p.server), share(p.loads), share(p.clients), share(p.others))
}

// processorTime returns what the server has used.
func (s *server) processorTime() time.Duration {
	select {
	case <-s.exited:
		return s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
	default:
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The name of the program ends with the last parenthesis. The state is next, the 3rd field; the times are the 14th and 15th.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	return ticks(fields[11], fields[12])
}

// ticks returns the sum of times as the kernel writes them, in hundredths of a second.
func ticks(fields ...[]byte) time.Duration {
	var sum time.Duration
	for _, field := range fields {
		n, err := strconv.Atoi(string(field))
		if err != nil {
			return 0
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}
