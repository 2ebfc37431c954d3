package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/cache"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/redis/redistest"
)

func TestErrorsSayWhatDidNotHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := &candidate{name: "a server that never answers", turn: func(ctx context.Context, _ time.Time, _ func(time.Duration)) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		if _, err := (&bench{Rounds: 1}).compare(t.Context(), silent); err == nil || !strings.Contains(err.Error(), silent.name) {
			t.Errorf("a turn: %v", err)
		}
		err := await(t.Context(), "the door opens", func(context.Context) error { return errors.New("it is locked") })
		if err == nil || !strings.Contains(err.Error(), "the door opens") || !strings.Contains(err.Error(), "it is locked") {
			t.Errorf("a condition: %v", err)
		}
	})
}

// noPulls is a cluster without pulls. It calls asked when somebody asks for them.
type noPulls struct{ asked func() }

func (n noPulls) Load(context.Context) (cache.Snapshot, error) {
	n.asked()
	return cache.Snapshot{Version: 1}, nil
}

func TestListsThatAreNotInRedisAreNotMeasured(t *testing.T) {
	server := redistest.Start(t)
	settings, err := redisclient.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redisclient.New(settings, slog.Default(), prometheus.NewRegistry())
	defer client.Close()
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	source := &counted{Source: noPulls{giveUp}}
	keys := redisclient.Keys(redisPrefix, "empty")
	err = awaitLists(ctx, source, reads(source, client, keys), func(_ cache.Result, err error) error { return err })
	if err == nil || !strings.Contains(err.Error(), keys) {
		t.Errorf("%v; it does not tell of %s", err, keys)
	}
}

func TestEachTurnHasAnAnswer(t *testing.T) {
	answers := 0
	turn := repeat(func(context.Context) error { return nil })
	if err := turn(t.Context(), time.Now().Add(-time.Hour), func(time.Duration) { answers++ }); err != nil || answers != 1 {
		t.Errorf("a turn that began too late has %d answers; %v", answers, err)
	}
}

func TestOneDisturbedRoundDoesNotCount(t *testing.T) {
	if got := medianRatio([]float64{8, 9, 1, 8, 10}, []float64{10, 10, 10, 10, 2}); got != .8 {
		t.Errorf("the median of .8, .9, .1, .8 and 5 is %g", got)
	}
}

func TestMetricsAreAddedUpByTheirLabels(t *testing.T) {
	text := []byte("# HELP reads_total Reads.\n# TYPE reads_total counter\nreads_total{list=\"active\",tier=\"memory\"} 1.00e+02\n" +
		"reads_total{list=\"active\",tier=\"kubernetes\"} 1\nreads_total{list=\"failed\",tier=\"kubernetes\"} 7\n" +
		"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 3.5\n")
	for want, got := range map[float64]float64{
		101: parseMetric(text, "reads_total", "active"), 1: parseMetric(text, "reads_total", "kubernetes", "active"),
		3.5: parseMetric(text, "process_cpu_seconds_total"),
	} {
		if got != want {
			t.Errorf("%g, want %g", got, want)
		}
	}
	if got := parseMetric(text, "unheard_of"); !math.IsNaN(got) {
		t.Errorf("a metric that is not there is %g", got)
	}
}
