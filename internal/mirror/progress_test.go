package mirror

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"pullwatch/internal/pull"
)

// The bytes that a failed upload sent are not at the destination.
func TestAFailedUploadDoesNotCountAsDone(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 300_000, 1))
		l.destination.fault = times(1, func(r *http.Request) bool { return r.Method == http.MethodPatch && r.ContentLength > 1000 },
			func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusInternalServerError)
			})
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		i := slices.IndexFunc(r.events, func(e pull.Report) bool { return strings.HasPrefix(e.Message, "Retrying blob") })
		if i < 0 {
			t.Fatal("no report tells of the retry")
		}
		if e := r.events[i]; e.BytesDone > 1000 || e.BytesBest < 100_000 {
			t.Errorf("after an upload of 300 kB failed, %+v", e)
		}
	})
}

// A destination can refuse a blob when it has all of it.
func TestBlobIsWholeOnlyWhenItIsAccepted(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 300_000, 1))
		var accepted time.Time
		l.destination.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if method("PUT", "/uploads/")(r) {
				time.Sleep(30 * time.Second)
				accepted = time.Now()
			}
			return false
		}
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		for _, report := range r.reports {
			if report.BytesTotal != nil && report.BytesDone == *report.BytesTotal && report.Time.Before(accepted) {
				t.Errorf("all was told as done in %+v", report)
			}
		}
		still := 0
		for _, report := range r.reports {
			if report.BytesTotal != nil && report.BytesDone == *report.BytesTotal-1 && report.BytesPerSecond > 0 {
				still++
			}
		}
		if still > stillSamples+1 {
			t.Errorf("%d reports tell of a speed while nothing moved", still)
		}
	})
}

// After the last blob nothing is copied any more: neither words nor figures may say so.
func TestEachStepIsNamedWhileItLasts(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 300_000, 1))
		l.source.fault = slowly(l.source, 30_000)
		l.destination.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/manifests/") && l.destination.count("PUT", "/uploads/") > 1 {
				time.Sleep(10 * time.Second)
			}
			return false
		}
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		var parts []string
		copying := true
		for _, e := range r.reports {
			part, _, _ := strings.Cut(e.Message, " ")
			if len(parts) == 0 || parts[len(parts)-1] != part {
				parts = append(parts, part)
			}
			if copying = copying && part != "Writing"; !copying && e.BytesPerSecond > 0 {
				t.Errorf("a speed behind the last blob: %+v", e)
			}
		}
		if got, want := strings.Join(parts, " "), "Reading The Copying Writing Reading Copied"; got != want {
			t.Errorf("parts %q, want %q", got, want)
		}
	})
}

// "Already there" is for what needed nothing to be written.
func TestTheLastLineSaysWhatWasDone(t *testing.T) {
	image := randomImage(t, 100_000, 2)
	for _, test := range []struct {
		name, to string
		prepare  func(*lab)
		words    string
	}{
		{"all sent", "destination.test/app:1", func(*lab) {}, "Copied "},
		{"all there", "destination.test/app:1", func(l *lab) { l.push("destination.test/app:1", image) }, "Already there"},
		{"only the tag is new", "destination.test/app:1", func(l *lab) { l.push("destination.test/app:2", image) }, "only manifests written"},
		{"mounted", "source.test/mirror/app:1", func(*lab) {}, " mounted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", image)
				test.prepare(l)
				r := l.copy(t.Context(), "source.test/app:1", test.to)
				r.succeeded(t, digest)
				last := r.reports[len(r.reports)-1].Message
				if !strings.Contains(last, test.words) || (test.words != "Already there" && strings.Contains(last, "Already there")) {
					t.Errorf("said %q, want %q", last, test.words)
				}
			})
		})
	}
}

func TestTheDigestIsReportedAsSoonAsItIsKnown(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 3000, 1))
		l.source.fault = times(forEver, isBlobGet, answer(403, ""))
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.failed(t, pull.ExitPermanent, pull.Unauthorized)
		if r.outcome.Image != digest.String() {
			t.Errorf("outcome %+v, want the image %s", r.outcome, digest)
		}
		for _, e := range r.events[1:] {
			if e.Image != digest.String() {
				t.Errorf("%+v does not tell of the image %s", e, digest)
			}
		}
	})
}

// An attempt copies what its tag was when it began.
func TestTagThatMovesMeanwhileDoesNotMatter(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 3000, 2))
		other := l.push("source.test/app:2", randomImage(t, 3000, 2))
		moved := false
		l.source.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			moved = moved || isBlobGet(r)
			if moved {
				r.URL.Path = strings.Replace(r.URL.Path, "/manifests/1", "/manifests/"+other.String(), 1)
			}
			return false
		}
		l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
	})
}

// Layers that may not be passed on are copied if the source has them, and named if not.
func TestForeignLayersAreCopiedOrNamed(t *testing.T) {
	foreign := static.NewLayer([]byte(strings.Repeat("x", 900)), types.DockerForeignLayer)
	layer, err := foreign.Digest()
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.Append(randomImage(t, 2000, 1), mutate.Addendum{
		Layer: foreign, MediaType: types.DockerForeignLayer, URLs: []string{"https://elsewhere.test/layer"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, there := range []bool{true, false} {
		t.Run(map[bool]string{true: "at the source", false: "elsewhere"}[there], func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/windows:1", image)
				want := bytesOf(t, image) - 900
				if there {
					want += 900
					l.source.blobs["windows@"+layer.String()] = []byte(strings.Repeat("x", 900))
				}
				r := l.copy(t.Context(), "source.test/windows:1", "destination.test/windows:1")
				r.succeeded(t, digest)
				if _, err := l.destination.Stat(t.Context(), "windows", v1.Hash(layer)); (err == nil) != there {
					t.Errorf("the layer at the destination: %v", err)
				}
				if r.outcome.BytesTotal != want || (r.outcome.Left == nil) != there {
					t.Errorf("outcome %+v, want %d bytes", r.outcome, want)
				}
				if !there && (!r.said("1 layer that may not be passed on was left out") || !r.said(layer.String())) {
					t.Error("no report names what was left out")
				}
			})
		})
	}
}

func TestTheMessageNamesForeignLayersThatTheDestinationWants(t *testing.T) {
	image, err := mutate.Append(randomImage(t, 2000, 1), mutate.Addendum{
		Layer: static.NewLayer([]byte("x"), types.DockerForeignLayer), MediaType: types.DockerForeignLayer})
	if err != nil {
		t.Fatal(err)
	}
	inLab(t, func(t *testing.T, l *lab) {
		l.push("source.test/windows:1", image)
		l.destination.fault = times(forEver, method("PUT", "/manifests/"), answer(400, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}`))
		r := l.copy(t.Context(), "source.test/windows:1", "destination.test/windows:1")
		r.failed(t, pull.ExitPermanent, pull.Invalid, "destination registry", "1 layer that may not be passed on was left out")
	})
}
