package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// fullQuery asks for all that there is to know of the active pulls.
const fullQuery = `{ activePulls { id image { name registry repository tag digest } destination { name registry repository tag digest }
	phase message progress { percent bytesDone bytesTotal bytesPerSecond secondsLeft } attempts
	failure { reason message remedy logTail } retryOf createdAt startedAt finishedAt updatedAt revision } }`

// queries measures how often the list of active pulls is answered over HTTP.
func (b *bench) queries(ctx context.Context, f *findings) error {
	row := f.table("pulls", "server", "bytes", "a second", "of net/http's", "CPU µs each", "p50", "p99")
	for _, n := range []int{10, 100, 1000, 10_000} {
		var results []*result
		var bytes int
		err := b.scope(func() (err error) {
			results, bytes, err = b.compareQueries(ctx, n)
			return err
		})
		if err != nil {
			return err
		}
		floor := results[1]
		for _, r := range results {
			row(thousands(n), r.name, thousands(bytes), digits(r.perSecond()), percent(r.rateTo(floor)),
				digits(1e6*r.cpuEach()), round(r.percentile(50)), round(r.percentile(99)))
		}
		if wanted := map[int]float64{100: .80, 1000: .95}[n]; wanted > 0 {
			reached := results[0].rateTo(floor)
			f.goal(fmt.Sprintf("`activePulls` with %s pulls, all fields: answers a second, of net/http's", thousands(n)),
				"at least "+percent(wanted), percent(reached), percent(results[3].rateTo(floor)), reached >= wanted)
		}
	}
	return nil
}

// compareQueries returns the results of pullwatch and net/http, and how long an answer is. Unless they would take seconds for an
// answer, those of pullwatch with a list that changes and of plain gqlgen follow.
func (b *bench) compareQueries(ctx context.Context, n int) (results []*result, size int, err error) {
	const callers = 8 // so many that the processors have no pause
	ours, err := b.contend(pullwatch, n)
	if err != nil {
		return nil, 0, err
	}
	answer, err := askOnce(ctx, ours.address, fullQuery)
	if err != nil {
		return nil, 0, err
	}
	floor, err := b.contendWith(netHTTP, netHTTP, answer, 0)
	if err != nil {
		return nil, 0, err
	}
	var candidates []*candidate
	add := func(c *contender) *candidate {
		candidates = append(candidates, c.candidate(2*b.turn(), calls(c.address, fullQuery, callers)))
		return candidates[len(candidates)-1]
	}
	add(ours)
	add(floor)
	if n <= 1000 {
		changing := add(ours)
		changing.name, changing.turn = "pullwatch, list changes 4 times a second", ours.changing(changing.turn)
		plain, err := b.contend(gqlgen, n)
		if err != nil {
			return nil, 0, err
		}
		if got, err := askOnce(ctx, plain.address, fullQuery); err != nil || !bytes.Equal(got, answer) {
			return nil, 0, errors.Join(fmt.Errorf("%s answers %.300q, pullwatch %.300q", gqlgen, got, answer), err)
		}
		add(plain)
	}
	results, err = b.compare(ctx, candidates...)
	return results, len(answer), err
}

// changing is a turn during which the list changes as often as a leader writes it.
func (c *contender) changing(t turn) turn {
	const pause = 250 * time.Millisecond
	return func(ctx context.Context, until time.Time, took func(time.Duration)) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error {
			return c.publish(ctx, Publication{Updates: int(time.Until(until) / pause), Every: pause, Lists: true})
		})
		group.Go(func() error { return t(ctx, until, took) })
		return group.Wait()
	}
}
