package mirror

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"pullwatch/pull"
)

// reporter shows how a copy goes. Its methods are never called at the same time.
type reporter interface {
	// event shows that something has happened: the report's message.
	event(pull.Report)
	// progress shows how far the copy has come, with the message of what it is doing all along.
	progress(pull.Report)
}

const (
	reportEvery = time.Second
	// rateSamples spans the time over which the rate is averaged, in reports.
	rateSamples = 5
)

// meter counts the bytes of a copy and reports on them. All methods may be called at the same time.
type meter struct {
	out reporter

	mu    sync.Mutex
	doing string
	blobs int
	// reached is how far each blob has come at best: one that starts again does not take its bytes back.
	reached      map[v1.Hash]int64
	total        *int64
	done, copied int64
	// read counts every byte that came from the source, those of a repeated blob again: what moves is not what is done.
	read    int64
	samples []int64
	last    pull.Report
}

func newMeter(out reporter) *meter {
	return &meter{out: out, reached: make(map[v1.Hash]int64)}
}

// start reports once a second, as long as something moves, until the returned function is called, which waits for it.
func (m *meter) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		ticker := time.NewTicker(reportEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				m.tick()
			}
		}
	}()
	return func() {
		cancel()
		<-finished
	}
}

func (m *meter) tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = append(m.samples, m.read)
	if len(m.samples) > rateSamples+1 {
		m.samples = m.samples[1:]
	}
	report := m.report(m.doing)
	if report.BytesDone == m.last.BytesDone && report.BytesPerSecond == m.last.BytesPerSecond {
		return
	}
	m.last = report
	m.out.progress(report)
}

// report must be called with mu held.
func (m *meter) report(message string) pull.Report {
	report := pull.Report{Time: time.Now().UTC(), Message: message, BytesDone: m.done, BytesTotal: m.total}
	if n := len(m.samples); n > 1 {
		report.BytesPerSecond = (m.samples[n-1] - m.samples[0]) / (int64(n-1) * int64(reportEvery/time.Second))
	}
	return report
}

// status says what the copy is doing from now on.
func (m *meter) status(doing string) {
	m.mu.Lock()
	m.doing = doing
	m.mu.Unlock()
	m.event(doing)
}

// event says what has happened.
func (m *meter) event(message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = m.report(message)
	m.out.event(m.last)
}

// expect sets the blobs of the copy, which are distinct.
func (m *meter) expect(blobs []v1.Descriptor) {
	m.mu.Lock()
	var total int64
	for _, blob := range blobs {
		total += blob.Size
	}
	m.total, m.blobs = &total, len(blobs)
	// The rate is that of copying; the time before it would lower it.
	m.samples = []int64{0}
	m.mu.Unlock()
	m.status(fmt.Sprintf("Copying %s in %s", pull.FormatBytes(total), count(len(blobs), "blob")))
}

// moved counts the n bytes that have brought a blob to position.
func (m *meter) moved(blob v1.Descriptor, position int64, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read += int64(n)
	m.raise(blob, position)
}

// finish counts all bytes of a blob that is at the destination now; sent tells that it was not there before.
func (m *meter) finish(blob v1.Descriptor, sent bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raise(blob, blob.Size)
	if sent {
		m.copied += blob.Size
	}
}

func (m *meter) raise(blob v1.Descriptor, position int64) {
	if gain := min(position, blob.Size) - m.reached[blob.Digest]; gain > 0 {
		m.reached[blob.Digest] += gain
		m.done += gain
	}
}

// outcome returns the byte counts of an outcome.
func (m *meter) outcome() pull.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	outcome := pull.Outcome{BytesCopied: m.copied}
	if m.total != nil {
		outcome.BytesTotal = *m.total
	}
	return outcome
}
