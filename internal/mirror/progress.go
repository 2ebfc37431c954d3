package mirror

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"pullwatch/internal/pull"
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
	// stillSamples is after how many reports in which nothing moves the rate is zero.
	stillSamples = 2
)

// meter counts the bytes of a copy and reports on them. All methods may be called at the same time.
type meter struct {
	out reporter

	mu    sync.Mutex
	doing string
	// image is the digest of the image at the source, empty until it is known.
	image string
	// held is the digest that the destination's tag has of another image, empty if none is known.
	held string
	// reached is how much of each blob has been written to the destination, the whole once it has accepted it.
	reached map[v1.Hash]int64
	total   *int64
	// done adds up reached; best is the highest that it has been, which it falls below when an upload fails.
	done, best int64
	// copied and mounted are the bytes that were not there before, manifests counts those that were written.
	copied, mounted int64
	manifests       int
	// moved counts every byte that was written, those of a repeated upload again: what moves is not what is done.
	moved   int64
	samples []int64
	last    pull.Report
}

func newMeter(out reporter) *meter {
	return &meter{out: out, reached: make(map[v1.Hash]int64)}
}

// start reports once a second, as long as something moves, until stop is called. stop waits for its end.
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
	m.samples = append(m.samples, m.moved)
	n := len(m.samples)
	if n > stillSamples && m.samples[n-1-stillSamples] == m.moved {
		// Nothing moves: an average would only fall slowly.
		m.samples = m.samples[n-1:]
	}
	if len(m.samples) > rateSamples+1 {
		m.samples = m.samples[1:]
	}
	report := m.reportLocked(m.doing)
	if report.BytesDone == m.last.BytesDone && report.BytesPerSecond == m.last.BytesPerSecond {
		return
	}
	m.last = report
	m.out.progress(report)
}

// reportLocked returns a report with a message. mu must be held.
func (m *meter) reportLocked(message string) pull.Report {
	report := pull.Report{Time: time.Now().UTC(), Message: message, Image: m.image, Held: m.held, BytesDone: m.done, BytesTotal: m.total}
	if m.best > m.done {
		report.BytesBest = m.best
	}
	if n := len(m.samples); n > 1 {
		report.BytesPerSecond = (m.samples[n-1] - m.samples[0]) / (int64(n-1) * int64(reportEvery/time.Second))
	}
	return report
}

// status says what the copy is doing from now on. The rate begins anew with it.
func (m *meter) status(doing string) {
	m.mu.Lock()
	m.doing = doing
	m.samples = []int64{m.moved}
	m.mu.Unlock()
	m.event(doing)
}

// resolved reports which image is copied.
func (m *meter) resolved(image v1.Hash) {
	m.mu.Lock()
	m.image = image.String()
	m.mu.Unlock()
	m.event("The image is " + image.String())
}

// holds reports that the destination's tag has another image, which will be replaced.
func (m *meter) holds(digest string) {
	m.mu.Lock()
	m.held = digest
	m.mu.Unlock()
	m.event(pull.Replaces(digest))
}

// event reports what has happened.
func (m *meter) event(message string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = m.reportLocked(message)
	m.out.event(m.last)
}

// expect sets the blobs of the copy, which are distinct.
func (m *meter) expect(blobs []v1.Descriptor) {
	m.mu.Lock()
	var total int64
	for _, blob := range blobs {
		total += blob.Size
	}
	m.total = &total
	m.mu.Unlock()
	m.status(fmt.Sprintf("Copying %s in %s", pull.FormatBytes(total), count(len(blobs), "blob")))
}

// at notes how much of a blob has been written to the destination: less than before when an upload has failed.
func (m *meter) at(blob v1.Descriptor, position int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if gain := position - m.reached[blob.Digest]; gain > 0 {
		m.moved += gain
	}
	m.setLocked(blob, position)
}

// finish counts all bytes of a blob, which is at the destination now.
func (m *meter) finish(blob v1.Descriptor, by way) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setLocked(blob, blob.Size)
	switch by {
	case copied:
		m.copied += blob.Size
	case mounted:
		m.mounted += blob.Size
	case found:
	}
}

// leave takes a blob that is not copied out of the total.
func (m *meter) leave(blob v1.Descriptor) {
	m.mu.Lock()
	m.setLocked(blob, 0)
	total := *m.total - blob.Size
	m.total = &total
	m.mu.Unlock()
	m.event(fmt.Sprintf("Leaving out layer %s: the source does not have it", blob.Digest))
}

func (m *meter) wroteManifest() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.manifests++
}

// setLocked sets how much of a blob has been written. mu must be held.
func (m *meter) setLocked(blob v1.Descriptor, position int64) {
	m.done += position - m.reached[blob.Digest]
	m.reached[blob.Digest] = position
	m.best = max(m.best, m.done)
}

// outcome returns what an outcome says of the bytes.
func (m *meter) outcome() pull.Outcome {
	m.mu.Lock()
	defer m.mu.Unlock()
	outcome := pull.Outcome{Image: m.image, Held: m.held, BytesCopied: m.copied, BytesMounted: m.mounted, ManifestsWritten: m.manifests}
	if m.total != nil {
		outcome.BytesTotal = *m.total
	}
	return outcome
}
