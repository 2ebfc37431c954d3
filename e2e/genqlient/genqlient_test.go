// Package genqlient tests pullwatch with the client that genqlient generates, which needs no cluster but the demo's.
package genqlient

//go:generate go tool genqlient

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Khan/genqlient/graphql"
	"github.com/gorilla/websocket"
)

// patience is how long anything may take.
const patience = time.Minute

// startDemo starts a server with the given flags and returns its address. It ends with the test.
func startDemo(t *testing.T, flags ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "pullwatch")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server := exec.Command(binary, append([]string{"--demo", "--listen=127.0.0.1:0"}, flags...)...)
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(log)
	t.Cleanup(func() {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		rest, err := io.ReadAll(lines)
		if err := errors.Join(err, server.Wait()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s", rest)
		}
	})
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the server has not said where it serves: %v", err)
		}
		if url := regexp.MustCompile(`http://([^/]+)/`).FindStringSubmatch(line); url != nil {
			return url[1]
		}
	}
}

// pingedDialer dials a WebSocket and counts the pings that come over it. It answers each, as every WebSocket client
// does.
type pingedDialer struct {
	conn    *websocket.Conn
	pings   atomic.Int32
	enough  int32
	reached chan struct{} // closed with the last ping that it takes
}

func (d *pingedDialer) DialContext(ctx context.Context, url string, header http.Header) (graphql.WSConn, error) {
	conn, response, err := websocket.DefaultDialer.DialContext(ctx, url, header)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	d.conn = conn
	answer := conn.PingHandler()
	conn.SetPingHandler(func(data string) error {
		if d.pings.Add(1) == d.enough {
			close(d.reached)
		}
		return answer(data)
	})
	return conn, nil
}

// The server waits for a pong no longer than two ping intervals. So a subscription that lives through ten was kept by the client's
// pongs.
func TestSubscriptionOutlivesPings(t *testing.T) {
	address := startDemo(t, "--ping-interval=300ms", "--pong-wait=600ms")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dialer := &pingedDialer{enough: 10, reached: make(chan struct{})}
	client := graphql.NewClientUsingWebSocket("ws://"+address+"/graphql", dialer)
	failed, err := client.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	updates, _, err := PullUpdates(ctx, client, nil)
	if err != nil {
		t.Fatal(err)
	}
	next := func() {
		t.Helper()
		select {
		case update, ok := <-updates:
			if !ok || update.Errors != nil || update.Data.PullJobUpdated.Revision == "" {
				t.Fatalf("%+v, open: %t", update, ok)
			}
		case err := <-failed:
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("no update came")
		}
	}
	for pinged := false; !pinged; {
		next()
		select {
		case <-dialer.reached:
			pinged = true
		default:
		}
	}
	next()
	// Not client.Close, which closes channels that the client may be sending on.
	if err := dialer.conn.Close(); err != nil {
		t.Error(err)
	}
	for ended := false; !ended; {
		select {
		case <-updates:
		case <-failed:
			ended = true
		}
	}
}
