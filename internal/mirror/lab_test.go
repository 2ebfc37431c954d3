package mirror

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pullwatch/internal/pull"
)

// lab is a source and a destination registry with a network between, in a bubble of its own time.
type lab struct {
	t                   *testing.T
	source, destination *testRegistry
	base                *http.Transport
}

// inLab runs a test in a new lab; that nothing is left running behind it is what the bubble sees to.
func inLab(t *testing.T, test func(t *testing.T, l *lab)) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, source: newTestRegistry(), destination: newTestRegistry()}
		l.base = newNetwork(t, map[string]http.Handler{"source.test": l.source, "destination.test": l.destination})
		test(t, l)
	})
}

// push puts an image or an index into a registry and forgets that it did.
func (l *lab) push(reference string, content remote.Taggable) v1.Hash {
	l.t.Helper()
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := remote.Push(ref, content, remote.WithTransport(l.base)); err != nil {
		l.t.Fatal(err)
	}
	desc, err := remote.Head(ref, remote.WithTransport(l.base))
	if err != nil {
		l.t.Fatal(err)
	}
	l.base.CloseIdleConnections()
	l.source.forget()
	l.destination.forget()
	return desc.Digest
}

// run is what a copy came to.
type run struct {
	code    int
	outcome pull.Outcome
	recorder
}

// recorder keeps what was reported.
type recorder struct{ events, reports []pull.Report }

func (r *recorder) event(report pull.Report) {
	r.events = append(r.events, report)
	r.reports = append(r.reports, report)
}
func (r *recorder) progress(report pull.Report) { r.reports = append(r.reports, report) }

func (l *lab) copy(ctx context.Context, source, destination string) *run {
	l.t.Helper()
	return l.copyWith(ctx, Options{Source: source, Destination: destination,
		InsecureRegistries: []string{"source.test", "destination.test"}})
}

func (l *lab) copyWith(ctx context.Context, opts Options) *run {
	l.t.Helper()
	r := new(run)
	file := filepath.Join(l.t.TempDir(), "termination-log")
	r.code = command(ctx, opts, l.base, &r.recorder, file)
	encoded, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, &r.outcome); err != nil {
		l.t.Fatal(err)
	}
	return r
}

// succeeded checks everything that holds for each copy that succeeds.
func (r *run) succeeded(t *testing.T, digest v1.Hash) {
	t.Helper()
	if r.code != pull.ExitDone || r.outcome.Digest != digest.String() || r.outcome.Reason != "" {
		t.Fatalf("exit code %d, outcome %+v; want success with %s", r.code, r.outcome, digest)
	}
	last := r.reports[len(r.reports)-1]
	if last.BytesTotal == nil || last.BytesDone != *last.BytesTotal || last.BytesDone != r.outcome.BytesTotal {
		t.Errorf("the last report %+v is not complete, or not of the outcome %+v", last, r.outcome)
	}
	r.neverFell(t)
}

func (r *run) neverFell(t *testing.T) {
	t.Helper()
	var before int64
	for _, report := range r.reports {
		best := max(report.BytesDone, report.BytesBest)
		if best < before {
			t.Errorf("the best progress fell from %d to %d bytes", before, best)
		}
		before = best
	}
}

func (r *run) failed(t *testing.T, code int, reason pull.FailureReason, words ...string) {
	t.Helper()
	if r.code != code || r.outcome.Reason != reason || r.outcome.Digest != "" {
		t.Errorf("exit code %d, outcome %+v; want code %d and reason %s", r.code, r.outcome, code, reason)
	}
	for _, word := range words {
		if !strings.Contains(r.outcome.Message, word) {
			t.Errorf("message %q does not contain %q", r.outcome.Message, word)
		}
	}
	if last := r.reports[len(r.reports)-1]; last.Message != r.outcome.Message {
		t.Errorf("the last report says %q, the outcome %q", last.Message, r.outcome.Message)
	}
}

// said reports whether an event's message contains the words.
func (r *run) said(words string) bool {
	for _, event := range r.events {
		if strings.Contains(event.Message, words) {
			return true
		}
	}
	return false
}

func randomImage(t *testing.T, size, layers int64) v1.Image {
	t.Helper()
	image, err := random.Image(size, layers)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// bytesOf adds up the config and the layers of an image, each digest once.
func bytesOf(t *testing.T, images ...v1.Image) int64 {
	t.Helper()
	var total int64
	seen := make(map[v1.Hash]bool)
	for _, image := range images {
		m, err := image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, blob := range append(m.Layers, m.Config) {
			if !seen[blob.Digest] {
				total += blob.Size
			}
			seen[blob.Digest] = true
		}
	}
	return total
}
