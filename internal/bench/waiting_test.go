package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/cache"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/redis/redistest"
)

func TestWhatIsWaitedForInVainIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := &candidate{name: "a server that never answers", turn: func(ctx context.Context, _ time.Time, _ func(time.Duration)) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		if _, err := (pace{rounds: 1}).compare(t.Context(), silent); err == nil || !strings.Contains(err.Error(), silent.name) {
			t.Errorf("a turn: %v", err)
		}
		err := await(t.Context(), "the door opens", func(context.Context) error { return errors.New("it is locked") })
		if err == nil || !strings.Contains(err.Error(), "the door opens") || !strings.Contains(err.Error(), "it is locked") {
			t.Errorf("a condition: %v", err)
		}
	})
}

// noPulls is a cluster without pulls. It is told when somebody asks for them.
type noPulls func()

func (asked noPulls) Load(context.Context) (cache.Snapshot, error) {
	asked()
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
	keys := redisclient.Keys(redisPrefix, "empty")
	err = awaitLists(ctx,
		func() *observed { return observe(noPulls(giveUp), client.Commands(), keys) },
		func(_ cache.Result, err error) error { return err })
	if err == nil || !strings.Contains(err.Error(), keys) {
		t.Errorf("%v; it does not tell of %s", err, keys)
	}
}

func TestEachTurnHasAnAnswer(t *testing.T) {
	answers := 0
	turn := oneAfterTheOther(func(context.Context) error { return nil })
	if err := turn(t.Context(), time.Now().Add(-time.Hour), func(time.Duration) { answers++ }); err != nil || answers != 1 {
		t.Errorf("a turn that began too late has %d answers; %v", answers, err)
	}
}
