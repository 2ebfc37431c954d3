package transporttest

import (
	"bufio"
	"context"
	"strings"
	"testing"
	"time"
)

// ReadEvent returns the next event or comment of a stream of server-sent events.
func ReadEvent(t testing.TB, stream *bufio.Reader) string {
	t.Helper()
	var event strings.Builder
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, event.String())
		}
		event.WriteString(line)
		if line == "\n" {
			return event.String()
		}
	}
}

// Drain drains a transport, and fails the test unless that ends soon.
func Drain(t testing.TB, transport interface {
	Drain(ctx context.Context, over time.Duration) error
}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := transport.Drain(ctx, 0); err != nil {
		t.Errorf("drain: %v", err)
	}
}
