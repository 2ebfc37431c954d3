package breaker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("connection refused")

// fixture is a breaker with what it logs and its metric.
type fixture struct {
	*Breaker
	t       *testing.T
	logged  bytes.Buffer
	metrics *prometheus.Registry
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, metrics: prometheus.NewRegistry()}
	f.Breaker = New("storage", Judge, slog.New(slog.NewTextHandler(&f.logged, nil)), f.metrics)
	return f
}

// call makes a call that ends with err, and reports whether it was made.
func (f *fixture) call(err error) (made bool) {
	f.t.Helper()
	got := f.Do(func() error {
		made = true
		return err
	})
	if want := err; made && !errors.Is(got, want) || !made && !errors.Is(got, ErrOpen) {
		f.t.Errorf("made %v, returned %v", made, got)
	}
	return made
}

func (f *fixture) fail(times int) {
	f.t.Helper()
	for range times {
		if !f.call(errDown) {
			f.t.Error("refused before it was open")
		}
	}
}

func (f *fixture) wantState(want int) {
	f.t.Helper()
	families, err := f.metrics.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 1 {
		f.t.Fatalf("metrics: %v, %v", families, err)
	}
	state := families[0].Metric[0]
	name, label, value := families[0].GetName(), state.Label[0].GetValue(), state.Gauge.GetValue()
	if name != "pullwatch_breaker_state" || label != "storage" || value != float64(want) {
		f.t.Errorf("%s of %s is %v, want %d", name, label, value, want)
	}
	if f.Open() != (want == 2) {
		f.t.Errorf("Open() = %v in state %d", f.Open(), want)
	}
}

func (f *fixture) wantLog(want ...string) {
	f.t.Helper()
	lines := strings.Split(strings.TrimSuffix(f.logged.String(), "\n"), "\n")
	if len(want) == 0 && f.logged.Len() == 0 {
		return
	}
	if len(lines) != len(want) {
		f.t.Fatalf("logged %d lines, want %d:\n%s", len(lines), len(want), f.logged.String())
	}
	for i, line := range lines {
		if !strings.HasSuffix(line, want[i]) {
			f.t.Errorf("logged %s\nwant … %s", line, want[i])
		}
	}
}

const (
	away = `level=WARN msg="a service is away; going on without it" service=storage error="connection refused"`
	back = `level=INFO msg="a service is back" service=storage away=`
)

func TestAServiceThatFailsIsNotCalledUntilItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(failuresToOpen)
		f.wantState(2)
		if f.call(nil) {
			t.Error("called while it is open")
		}
		time.Sleep(rest + time.Millisecond) // fake time
		f.wantState(1)
		if !f.call(errDown) {
			t.Error("no call may try")
		}
		f.wantState(2)
		time.Sleep(rest + time.Millisecond) // fake time
		if !f.call(nil) {
			t.Error("no call may try again")
		}
		f.wantState(0)
		f.wantLog(away, back+"4.002s")
	})
}

func TestOnlyFailuresInARowOpenTheBreaker(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		f.fail(failuresToOpen - 1)
		f.call(nil)
	}
	f.wantState(0)
	f.wantLog()
}

func TestCanceledCallsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		canceled := fmt.Errorf("list: %w", context.Canceled)
		for range 5 {
			f.call(canceled)
		}
		f.fail(failuresToOpen - 1)
		f.call(canceled)
		f.fail(1)
		f.wantState(2)

		time.Sleep(rest + time.Millisecond) // fake time
		if !f.call(canceled) || !f.call(nil) {
			t.Error("a call that was canceled kept others from trying")
		}
		f.wantState(0)
	})
}

func TestOneCallTriesWhileOthersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.fail(failuresToOpen)
		time.Sleep(rest + time.Millisecond) // fake time
		answer := make(chan struct{})
		go func() {
			_ = f.Do(func() error {
				<-answer
				return nil
			})
		}()
		synctest.Wait()
		if f.call(nil) {
			t.Error("two try at once")
		}
		close(answer)
		synctest.Wait()
		if !f.call(nil) {
			t.Error("refused although the service is back")
		}
	})
}

func TestACanceledCallIsUnclearAndADeadlineFailed(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{nil, Answered},
		{errDown, Failed},
		{context.DeadlineExceeded, Failed},
		{fmt.Errorf("list: %w", context.Canceled), Unclear},
	} {
		if got := Judge(c.err); got != c.want {
			t.Errorf("Judge(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}
