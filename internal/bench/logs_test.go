package main

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestLogsAreAlike reads the beginning of the log in memory from each server.
func TestLogsAreAlike(t *testing.T) {
	var first []string
	for name, serveGraphQL := range map[string]func(context.Context, net.Listener, *backend) error{
		pullwatch: servePullwatch, gqlgen: serveGqlgen,
		gqlgenByLine: func(ctx context.Context, listener net.Listener, b *backend) error {
			return serveResolvers(ctx, listener, lineByLine{b.resolver(prometheus.NewRegistry())})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := newBackend(1)
			if err != nil {
				t.Fatal(err)
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- serveGraphQL(ctx, listener, b) }()
			defer func() {
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
			}()
			r, err := readLog(ctx, listener.Addr().String(), map[string]any{"namespace": "bench", "pod": "bench", "follow": false})
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			for r.lines == 0 {
				if err := r.next(); err != nil {
					t.Fatal(err)
				}
			}
			_, text, _ := bytes.Cut(r.text, []byte(`"lines":[`))
			line, _, _ := bytes.Cut(text, []byte("}"))
			first = append(first, string(line))
		})
	}
	for _, line := range first {
		if line != first[0] {
			t.Errorf("the first line is %s or %s", line, first[0])
		}
	}
}

func TestWholeLogIsRead(t *testing.T) {
	b, err := newBackend(1)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- servePullwatch(ctx, listener, b) }()
	answers := 0
	turn := finishedLogs(listener.Addr().String(), "bench", "bench", logLines)
	if err := turn(ctx, time.Now().Add(time.Millisecond), func(time.Duration) { answers++ }); err != nil || answers == 0 {
		t.Errorf("%d answers; %v", answers, err)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
