package podlogs

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/podlog"
)

// Only an answer after a failed request counts as a recovery, not a watch that merely ended.
func TestASnapshotCountsRecoveriesOfTheAPIServer(t *testing.T) {
	api := newLogAPI(t)
	var away, refused atomic.Bool
	wasRefused := make(chan struct{})
	api.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
		if !away.Load() {
			return false
		}
		if refused.CompareAndSwap(false, true) {
			close(wasRefused)
		}
		writeStatus(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "no")
		return true
	}
	api.put(logTestPod("web", corev1.PodRunning, runningState("1")))
	snapshots := make(chan podlog.Snapshot)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- New(api.client).WatchPods(ctx, podlog.Target{Namespace: "default", Pod: "web"},
			func(s podlog.Snapshot) {
				select {
				case snapshots <- s:
				case <-ctx.Done():
				}
			})
	}()
	if s := <-snapshots; s.Recoveries != 0 || len(s.Pods) != 1 {
		t.Errorf("began with %+v", s)
	}
	api.cutWatches(false)
	api.put(logTestPod("web", corev1.PodRunning, runningState("2")))
	if s := <-snapshots; s.Recoveries != 0 {
		t.Errorf("a watch that ended is told as %d recoveries", s.Recoveries)
	}
	away.Store(true)
	api.cutWatches(false)
	<-wasRefused
	away.Store(false)
	if s := <-snapshots; s.Recoveries != 1 || len(s.Pods) != 1 {
		t.Errorf("after an outage: %+v", s)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
