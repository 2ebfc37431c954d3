package podlogs

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"pullwatch/internal/podlog"
)

func TestUnreadLogsHoldLittleMemoryAndHoldUpNoOthers(t *testing.T) {
	const logs, size = 20, 1 << 20
	text := bytes.Repeat([]byte("2026-01-02T03:04:05.000000000Z a line\n"), size/38)
	var sent atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stalled := r.URL.Query().Get("container") == "stalled"
		for rest := text; len(rest) > 0 && r.Context().Err() == nil; rest = rest[min(len(rest), 1<<10):] {
			n, _ := w.Write(rest[:min(len(rest), 1<<10)])
			if stalled {
				sent.Add(int64(n))
			}
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	client, err := NewClient(&rest.Config{Host: server.URL, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: authority}})
	if err != nil {
		t.Fatal(err)
	}
	source := New(client)
	open := func(container string) io.ReadCloser {
		log, err := source.OpenLog(t.Context(), podlog.LogRequest{Namespace: "default", Pod: "web", Container: container, Follow: true})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	for range logs {
		defer open("stalled").Close()
	}
	for range logs {
		log := open("read")
		if got, err := io.ReadAll(log); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes of %d, %v", len(got), len(text), err)
		}
		log.Close()
	}
	// A server buffers a few kilobytes before it waits for the client.
	if limit := int64(logs * (logWindow + 16<<10)); sent.Load() > limit {
		t.Errorf("%d bytes have been sent of %d logs that nobody reads", sent.Load(), logs)
	}
}

// Followed logs and watches share a connection. A log that is read to its end has a connection of its own, which the next
// such log uses again.
func TestAFinishedLogHasAConnectionOfItsOwn(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "HTTP/%d from %s", r.ProtoMajor, r.RemoteAddr)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	client, err := NewClient(&rest.Config{Host: server.URL, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: authority}})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, follow := range []bool{true, false, true, false} {
		req := podlog.LogRequest{Namespace: "default", Pod: "web", Container: "app", Follow: follow}
		log, err := New(client).OpenLog(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(log)
		if err != nil {
			t.Error(err)
		}
		log.Close()
		seen = append(seen, string(text))
	}
	if !strings.HasPrefix(seen[0], "HTTP/2 ") || !strings.HasPrefix(seen[1], "HTTP/1 ") || seen[2] != seen[0] || seen[3] != seen[1] {
		t.Errorf("%q", seen)
	}
}
