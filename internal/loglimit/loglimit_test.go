package loglimit

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// newLog returns a limited log, what is written to it, and the value of its only metric.
func newLog(t *testing.T) (log *slog.Logger, written *bytes.Buffer, suppressed func() float64) {
	written = &bytes.Buffer{}
	handler := New(slog.NewTextHandler(written, &slog.HandlerOptions{Level: slog.LevelDebug}))
	metrics := prometheus.NewPedanticRegistry()
	handler.Register(metrics)
	return slog.New(handler), written, func() float64 {
		families, err := metrics.Gather()
		if err != nil || len(families) != 1 || families[0].GetName() != "pullwatch_log_suppressed_total" {
			t.Fatalf("%v %v", families, err)
		}
		return families[0].Metric[0].Counter.GetValue()
	}
}

func lines(b *bytes.Buffer) int { return strings.Count(b.String(), "\n") }

func TestAFloodIsBoundedAndLinesLeftOutAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, written, suppressed := newLog(t)
		for i := range 1000 {
			log.With("client", i).Error("a request failed", "n", i)
		}
		if n := lines(written); n != burst || suppressed() != 1000-burst {
			t.Errorf("%d lines of 1000 were written, and %v counted as left out", n, suppressed())
		}
		written.Reset()
		for range 100 { // 100 s
			for range 100 {
				log.Error("a request failed")
			}
			time.Sleep(time.Second)
		}
		if n := lines(written); n < 45 || n > 51 {
			t.Errorf("%d lines in 100 s of a flood", n)
		}
	})
}

func TestALineSaysHowManyWereLeftOutBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, written, _ := newLog(t)
		for range burst + 7 {
			log.Warn("a request failed")
		}
		if strings.Contains(written.String(), "suppressed") {
			t.Errorf("before anything was left out:\n%s", written)
		}
		for _, want := range []string{"suppressed=7", ""} {
			time.Sleep(interval)
			written.Reset()
			log.Warn("a request failed")
			if lines(written) != 1 || !strings.Contains(written.String(), want) || want == "" && strings.Contains(written.String(), "suppressed") {
				t.Errorf("%q; want %q", written, want)
			}
		}
	})
}

func TestAFloodHidesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, written, _ := newLog(t)
		for range 1000 {
			log.Error("a request failed")
		}
		log.Info("no longer leading")
		if !strings.Contains(written.String(), "no longer leading") {
			t.Error("a flood hid what happened to the leader")
		}
	})
}

func TestDebugLinesAreAllWritten(t *testing.T) {
	log, written, suppressed := newLog(t)
	for range 1000 {
		log.Debug("a request was refused")
	}
	if n := lines(written); n != 1000 || suppressed() != 0 {
		t.Errorf("%d lines", n)
	}
}

func TestAnyNumberOfMessagesTakesBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, written, _ := newLog(t)
		for i := range 10 * maxMessages {
			log.Info(fmt.Sprintf("message %d", i))
		}
		if n := lines(written); n != maxMessages+burst {
			t.Errorf("%d lines", n)
		}
	})
}
