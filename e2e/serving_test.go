package e2e

import (
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"pullwatch/e2e/harness"
)

func TestOpenSubscriptionsDoNotHoldUpAShutdown(t *testing.T) {
	source := newSource(t)
	image, _ := source.image(t, "app:1", 1000, 1)
	source.hold(t, 0)
	namespace := newNamespace(t)
	s := startServer(t, namespace, insecure(source.host)...)
	pull := s.startOne(t, image)
	all, one := s.updates(t), s.updates(t, pull.ID)
	logs := s.podLogs(t, map[string]any{"namespace": namespace, "job": pull.ID})
	one.until(t, "is copying", func(p pullJob) bool { return p.is("PULLING") })
	logs.until(t, "holds a line", func(b logBatch) bool { return len(b.Lines) > 0 })

	began := time.Now()
	s.Signal(t, syscall.SIGTERM)
	checkRestart(t, all)
	checkRestart(t, one)
	checkRestart(t, logs)
	<-s.Exited
	took := time.Since(began)
	if s.Err != nil || took > harness.DrainLimit {
		t.Errorf("the server ended after %s with %v", took, s.Err)
	}
	figures.add(t, "SIGTERM until the end, with 3 subscriptions", "%d ms", took.Milliseconds())

	again := startServer(t, namespace, insecure(source.host)...)
	if p := again.pull(t, pull.ID); p == nil || !p.is("PULLING") {
		t.Errorf("the pull went on without a server, and is %+v", p)
	}
}

// checkRestart reads a subscription to the end of its connection, which is to tell clients that they may come back.
func checkRestart[T any](t *testing.T, s *subscription[T]) {
	t.Helper()
	for {
		_, err := s.Next()
		if err == nil {
			continue
		}
		if closed, ok := errors.AsType[*websocket.CloseError](err); !ok || closed.Code != websocket.CloseServiceRestart {
			t.Errorf("the connection ended with %v", err)
		}
		return
	}
}

func TestReadinessSaysWhetherTheClusterIsKnown(t *testing.T) {
	api := env.NewProxy(t)
	api.Cut()
	s := launch(t, newNamespace(t), "--kubeconfig="+env.KubeconfigVia(t, api))
	eventually(t, "the server listens", func() bool { return s.Status(t, "/healthz") == http.StatusOK })
	if got := s.Status(t, "/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz is %d although the cluster cannot be reached", got)
	}
	var data any
	err := s.Ask(t.Context(), `mutation { startPulls(input: {images: ["nginx"]}) { results { image } } }`, nil, &data)
	if codeOf(err) != "UNAVAILABLE" {
		t.Errorf("a start before the cluster's state is known: %v", err)
	}
	api.Restore(t)
	eventually(t, "the server is ready", func() bool { return s.Status(t, "/readyz") == http.StatusOK })
	for _, name := range []string{"pullwatch_leader", "pullwatch_pulls", "pullwatch_watch_open", "pullwatch_active_ws_connections"} {
		if !strings.Contains(s.metrics(t), "\n"+name) {
			t.Errorf("/metrics does not show %s", name)
		}
	}
}

// The connection to the API server breaks while a pull is copying, and the pull ends before it is back.
func TestAPullsEndIsNotMissedWhenTheWatchBreaks(t *testing.T) {
	source := newSource(t)
	image, digest := source.image(t, "app:1", 100_000, 2)
	gate := source.hold(t, 150_000)
	namespace := newNamespace(t)
	api := env.NewProxy(t)
	jobs := watchJobs(t, namespace)
	s := startServer(t, namespace, append(insecure(source.host), "--kubeconfig="+env.KubeconfigVia(t, api))...)
	pull := s.startOne(t, image)
	updates := s.updates(t, pull.ID)
	updates.until(t, "is copying", func(p pullJob) bool { return p.is("PULLING") && p.Progress.Percent > 0 })

	api.Cut()
	gate.release()
	jobs.untilFinished(t, pull.ID)
	api.Restore(t)
	restored := time.Now()
	all := updates.rest(t)
	checkCopied(t, all[len(all)-1], digest)
	figures.add(t, "API server back until the final state is told", "%.1f s", time.Since(restored).Seconds())
}
