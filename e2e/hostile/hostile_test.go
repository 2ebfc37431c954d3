package hostile

import (
	"context"
	"sync"
	"testing"
	"time"
)

const (
	// recovery is how long after the loads a replica may keep what they made it take.
	recovery = 30 * time.Second
	// spareGoroutines and spareFiles are how many more a replica may have than before: pulls run, clients query lists.
	spareGoroutines, spareFiles = 25, 10
	// logBurst and logRate bound the lines that clients can make a replica log: at once, and for each second.
	logBurst, logRate = 100, 10
	// ratioAllowed is how many times longer the slowest hundredth of a well-behaved client's answers may take under load.
	ratioAllowed = 5
	// referenceAllowed is how many times longer than the reference's it may take where that is itself slower: twice as
	// long is what two runs of the same program differ by.
	referenceAllowed = 2
)

func TestWellBehavedClientsNoticeNothingOfHostileOnes(t *testing.T) {
	var reference measurement
	if *long {
		t.Run("reference", func(t *testing.T) {
			reference = measure(t, startReference(t))
			t.Log("a handler that discards what it is sent\n" + reference.table())
		})
	}
	m := measure(t, startServer(t))
	t.Log("\n" + m.table())
	m.check(t)
	for i, client := range m.clients.pollers() {
		ratio := client.ratio()
		if !*long || ratio <= ratioAllowed {
			continue
		}
		// Where many connections are busy, net/http alone keeps some answers waiting.
		took, _ := client.latency(loaded, 0.99)
		least, answers := reference.clients.pollers()[i].latency(loaded, 0.99)
		if answers == 0 || took > referenceAllowed*least {
			t.Errorf("the p99 of the well-behaved client with %s is %.1f times the quiet one, and %.1f times that of a handler that discards what it is sent; it may be %d or %d times, where other programs do not take much of the processors: %s",
				client.name, ratio, took.Seconds()/max(least.Seconds(), 1e-6), ratioAllowed, referenceAllowed, m.processors)
		}
	}
}

// measure runs the loads against a server, between two quiet times.
func measure(t *testing.T, s *server) measurement {
	t.Helper()
	watching, stopWatching := context.WithCancel(t.Context())
	var watches sync.WaitGroup
	watches.Go(func() { s.watch(watching) })

	using, stopUsing := context.WithCancel(t.Context())
	defer stopUsing()
	g := startGoodClients(using, t, s.address)
	s.settled(t, pick(time.Second, 10*time.Second))
	g.stage.Store(int32(quiet))
	before := s.settled(t, pick(3*time.Second, 20*time.Second))

	m := measurement{server: s, clients: g, before: before}
	lines, began, used := s.logLines(t), time.Now(), s.processorsNow()
	g.stage.Store(int32(loaded))
	m.attacks = s.attack(t)
	g.stage.Store(int32(after))
	m.lasted, m.lines = time.Since(began), s.logLines(t)-lines
	m.processors = s.processorsNow().since(used, processorTime(m.attacks))

	ended := time.Now()
	recovering, stop := context.WithTimeout(t.Context(), recovery)
	defer stop()
	m.recovered = s.poll(recovering, func() bool {
		goroutines, err := s.goroutines(recovering)
		m.after = usage{goroutines, s.files()}
		return err == nil && goroutines <= before.goroutines+spareGoroutines && m.after.files <= before.files+spareFiles
	})
	m.recovery = time.Since(ended)
	stopUsing()
	g.done.Wait()
	stopWatching()
	watches.Wait()

	return m
}

// check fails the test if the server or a well-behaved client has suffered, whatever the speed of the machine.
func (m *measurement) check(t *testing.T) {
	t.Helper()
	m.server.check(t, m.lasted)
	if !m.recovered {
		t.Errorf("%s after the loads the server has %d goroutines and %d files; before them it had %d and %d",
			tenths(m.recovery), m.after.goroutines, m.after.files, m.before.goroutines, m.before.files)
	}
	for _, a := range m.attacks {
		a.check(t)
	}
	if allowed := logBurst + int(logRate*m.lasted.Seconds()); m.lines > allowed {
		t.Errorf("the server logged %d lines in %s of loads; at most %d are a few a second", m.lines, tenths(m.lasted), allowed)
	}
	m.clients.updates.check(t)
	for _, client := range m.clients.pollers() {
		client.check(t)
	}
}

// usage is what a replica has at a moment.
type usage struct{ goroutines, files int }

// settled watches the server for a time without loads and returns the most that it has then.
func (s *server) settled(t *testing.T, duration time.Duration) usage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var most usage
	for wait(ctx, 500*time.Millisecond) {
		goroutines, err := s.goroutines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		most = usage{max(most.goroutines, goroutines), max(most.files, s.files())}
	}
	return most
}

// check fails the test if the server has ended or had too much memory. If it has ended, the test ends at once: all the rest follows
// from that.
func (s *server) check(t *testing.T, lasted time.Duration) {
	t.Helper()
	if rss := s.most.rss.Load(); rss > memoryAllowed {
		t.Errorf("the server had %d MiB of resident memory; it may have %d", rss>>20, memoryAllowed>>20)
	}
	if s.cgroup != nil {
		if killed := s.cgroup.read(s.cgroup.files.killed); killed > 0 {
			t.Error("the kernel has killed the server: it was out of memory")
		}
	}
	select {
	case <-s.exited:
		t.Fatalf("the server ended after %s of loads: %v", tenths(lasted), s.err)
	default:
	}
}
