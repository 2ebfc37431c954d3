package logshare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pullwatch/internal/podlog"
)

// endless is a podlog.Source of logs that repeat the same megabyte of lines until they are closed.
type endless struct {
	podlog.Source
	text  []byte
	times int
}

func newEndless(times int) *endless {
	var text []byte
	for i := 0; len(text) < 1<<20; i++ {
		text = record{time: time.Unix(0, int64(i)), text: strings.Repeat("x", 168)}.appendTo(text, true)
	}
	return &endless{text: text, times: times}
}

func (e *endless) OpenLog(ctx context.Context, _ podlog.LogRequest) (io.ReadCloser, error) {
	return &endlessLog{endless: e}, nil
}

type endlessLog struct {
	*endless
	at, done int
}

func (l *endlessLog) Read(p []byte) (int, error) {
	if l.done == l.times {
		return 0, io.EOF
	}
	n := copy(p, l.text[l.at:])
	l.at += n
	if l.at == len(l.text) {
		l.at = 0
		l.done++
	}
	return n, nil
}

func (l *endlessLog) Close() error { return nil }

// BenchmarkReaders measures how fast all readers of a log read it, in bytes of the log.
func BenchmarkReaders(b *testing.B) {
	for _, readers := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			e := newEndless(b.N)
			b.SetBytes(int64(len(e.text)))
			b.ReportAllocs()
			s := newTestSource(e)
			var logs []io.ReadCloser
			for range readers {
				log, err := s.OpenLog(b.Context(), request())
				if err != nil {
					b.Fatal(err)
				}
				logs = append(logs, log)
			}
			var overruns atomic.Int64
			var reading sync.WaitGroup
			for _, log := range logs {
				reading.Go(func() {
					defer log.Close()
					p := make([]byte, 16<<10)
					for {
						_, err := log.Read(p)
						if errors.Is(err, errOverrun) {
							overruns.Add(1)
						}
						if err != nil {
							return
						}
					}
				})
			}
			reading.Wait()
			b.ReportMetric(float64(overruns.Load()), "overruns")
		})
	}
}
