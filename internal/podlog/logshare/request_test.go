package logshare

import (
	"bytes"
	"io"
	"testing"
	"time"

	"pullwatch/internal/podlog"
)

// request follows the log of the cluster's container.
func request() podlog.LogRequest {
	return podlog.LogRequest{Namespace: "default", Pod: "web", Container: "app", Run: "1", Follow: true}
}

// endedWhole asks for the whole log of a run that has ended.
func endedWhole() podlog.LogRequest {
	req := request()
	req.Follow, req.Ended = false, true
	return req
}

// ended asks for all lines with a Since, as a reader does that has read a part before.
func ended() podlog.LogRequest { return endedSince(time.Unix(1, 0)) }

func endedTail(n int) podlog.LogRequest {
	req := endedWhole()
	req.Tail = &n
	return req
}

func endedSince(t time.Time) podlog.LogRequest {
	req := endedWhole()
	req.Since = t
	return req
}

func tailed(n int) podlog.LogRequest {
	req := request()
	req.Tail = &n
	return req
}

func since(t time.Time) podlog.LogRequest {
	req := request()
	req.Since = t
	return req
}

// openLog opens a log. The end of the test closes it.
func openLog(t *testing.T, s podlog.Source, req podlog.LogRequest) io.ReadCloser {
	t.Helper()
	log, err := s.OpenLog(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

// wantBytes reads as many bytes as want has, and compares them.
func wantBytes(t *testing.T, log io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(log, got)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}
