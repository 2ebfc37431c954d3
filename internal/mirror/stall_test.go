package mirror

import (
	"io"
	"net/http"
	"testing"
	"time"

	"pullwatch/internal/pull"
)

func TestAStalledRegistryIsNamed(t *testing.T) {
	hang := func(w http.ResponseWriter, r *http.Request) {
		// Only with its body read does the server notice that the client is gone.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	for _, test := range []struct {
		name, side string
		limit      time.Duration
		fault      func(*lab)
	}{
		{"blob without a byte", "source", stallTimeout, func(l *lab) {
			l.source.fault = times(1<<20, isBlobGet, func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				hang(w, r)
			})
		}},
		{"manifest without an answer", "source", stallTimeout, func(l *lab) {
			l.source.fault = times(1<<20, method("GET", "/manifests/"), hang)
		}},
		{"upload without an answer", "destination", patience, func(l *lab) {
			l.destination.fault = times(1<<20, method("PATCH", ""), hang)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				l.push("source.test/app:1", randomImage(t, 3000, 2))
				test.fault(l)
				began := time.Now()
				r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
				r.failed(t, pull.ExitTransient, pull.Timeout, "The "+test.side+" registry", "stopped answering", seconds(test.limit))
				if took := time.Since(began); took > 2*maxTries*test.limit {
					t.Errorf("gave up after %s", took)
				}
			})
		})
	}
}

// A slow registry is not a stalled one, however long it takes. Nor is the destination that waits for a slow source.
func TestSlowIsNotStalled(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		digest := l.push("source.test/app:1", randomImage(t, 100_000, 1))
		l.source.fault = slowly(l.source, 100)
		r := l.copy(t.Context(), "source.test/app:1", "destination.test/app:1")
		r.succeeded(t, digest)
		if r.said("Retrying") {
			t.Error("something was retried")
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for _, test := range []struct {
		asked string
		want  time.Duration
	}{{"17", 17 * time.Second}, {"100", 100 * time.Second}, {"date", 20 * time.Second}} {
		t.Run(test.asked, func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				digest := l.push("source.test/app:1", randomImage(t, 100, 1))
				began := time.Now()
				asked := test.asked
				if asked == "date" {
					asked = began.Add(20 * time.Second).UTC().Format(http.TimeFormat)
				}
				l.source.fault = times(1, method("GET", "/manifests/"), func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", asked)
					w.WriteHeader(http.StatusTooManyRequests)
				})
				l.copy(t.Context(), "source.test/app:1", "destination.test/app:1").succeeded(t, digest)
				if took := time.Since(began); took < test.want || took > test.want+time.Second {
					t.Errorf("took %s, want %s", took, test.want)
				}
			})
		})
	}
}
