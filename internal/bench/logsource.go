package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"pullwatch/graph"
	"pullwatch/internal/podlog"
	"pullwatch/resolvers"
)

// logLines and logLineBytes are the size of the log in memory: its lines, and the bytes of each message.
const (
	logLines     = 100_000
	logLineBytes = 200
)

// logSource is a podlog.Source of one finished pod. Its log is in memory, so that no kubelet limits the speed.
type logSource struct{}

// wholeLog returns the pod's log. The first call makes it.
var wholeLog = sync.OnceValue(func() []byte {
	var text bytes.Buffer
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range logLines {
		at = at.Add(20 * time.Microsecond)
		message := fmt.Sprintf("line %d from bench ", i)
		fmt.Fprintf(&text, "%s %s%s\n", at.Format("2006-01-02T15:04:05.000000000Z"), message,
			strings.Repeat("x", logLineBytes-len(message)))
	}
	return text.Bytes()
})

// WatchPods implements podlog.Source, as does OpenLog.
func (logSource) WatchPods(ctx context.Context, target podlog.Target, deliver func(podlog.Snapshot)) error {
	deliver(podlog.Snapshot{Final: true, Pods: []podlog.Pod{{
		Name: target.Pod, UID: "bench", Finished: true,
		Containers: []podlog.Container{{Name: "main", Run: podlog.Run{ID: "run"}}},
	}}})
	<-ctx.Done()
	return ctx.Err()
}

func (logSource) OpenLog(_ context.Context, req podlog.LogRequest) (io.ReadCloser, error) {
	text := wholeLog()
	if req.Tail != nil {
		text = text[max(0, len(text)-*req.Tail*len(text)/logLines):] // all lines have the same length
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

// lineByLine sends each line of a log in a message of its own.
type lineByLine struct{ *resolvers.Resolver }

func (r lineByLine) Subscription() graph.SubscriptionResolver {
	return lineSubscriptions{r.Resolver.Subscription()}
}

type lineSubscriptions struct{ graph.SubscriptionResolver }

func (r lineSubscriptions) PodLogs(ctx context.Context, input podlog.Input) (<-chan *podlog.Batch, error) {
	batches, err := r.SubscriptionResolver.PodLogs(ctx, input)
	if err != nil {
		return nil, err
	}
	single := make(chan *podlog.Batch)
	go func() {
		defer close(single)
		for batch := range batches {
			for i := range batch.Lines {
				line := &podlog.Batch{Lines: batch.Lines[i : i+1], Notices: []podlog.Notice{}, Cursor: strconv.Itoa(i)}
				select {
				case single <- line:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return single, nil
}
