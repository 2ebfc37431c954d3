package chaos

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"pullwatch/internal/pull"
)

// jobTemplate keeps the real scheduler from the pods, and with it the real kubelet.
const jobTemplate = "spec: { template: { spec: { schedulerName: chaos } } }\n"

// How the name of an image begins decides how its pull ends: well, badly, or badly in most attempts.
const (
	good  = "good"
	bad   = "bad"
	flaky = "flaky"
)

// kubelet runs the pods of a namespace, as far as the API server can see.
type kubelet struct {
	namespace string
	speed     float64
	mu        sync.Mutex
	random    *rand.Rand
	pods      sync.WaitGroup
}

// runPods plays the kubelet until ctx is done; the function that it returns waits for that. Pods take speed times as long
// as usual, which is from half a second to three.
func runPods(ctx context.Context, t *testing.T, namespace string, seed uint64, speed float64) func() {
	t.Helper()
	k := &kubelet{namespace: namespace, speed: speed, random: rand.New(rand.NewPCG(seed, streamKubelet))}
	factory := informers.NewSharedInformerFactoryWithOptions(cluster.Client, 0, informers.WithNamespace(namespace))
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { k.pods.Go(func() { k.run(ctx, object.(*corev1.Pod)) }) },
	})
	if err != nil {
		t.Fatal(err)
	}
	factory.StartWithContext(ctx)
	factory.WaitForCacheSyncWithContext(ctx)
	return func() {
		factory.Shutdown()
		k.pods.Wait()
	}
}

// run takes a pod through its life.
func (k *kubelet) run(ctx context.Context, pod *corev1.Pod) {
	starts, takes, luck := k.choose(400), k.choose(2500), k.choose(10)
	copier := corev1.ContainerStatus{Name: pull.ContainerName, Image: "copier"}
	begun := metav1.Now()
	steps := []struct {
		after time.Duration
		to    func(*corev1.PodStatus)
	}{
		{time.Duration(50+starts) * time.Millisecond, func(s *corev1.PodStatus) {
			begun = metav1.Now()
			copier.State.Running = &corev1.ContainerStateRunning{StartedAt: begun}
			s.Phase, s.StartTime = corev1.PodRunning, &begun
		}},
		{time.Duration(400+takes) * time.Millisecond, func(s *corev1.PodStatus) {
			phase, code, outcome := endOf(pod.Labels[batchv1.JobNameLabel], luck)
			message, _ := json.Marshal(outcome) // it holds nothing that cannot be encoded
			copier.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				ExitCode: int32(code), Reason: "Ended", Message: string(message), StartedAt: begun, FinishedAt: metav1.Now(),
			}}
			s.Phase = phase
		}},
	}
	for _, step := range steps {
		timer := time.NewTimer(time.Duration(k.speed * float64(step.after)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		var status corev1.PodStatus
		step.to(&status)
		status.ContainerStatuses = []corev1.ContainerStatus{copier}
		if !k.report(ctx, pod.Name, status) {
			return
		}
	}
}

func (k *kubelet) choose(n int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.random.IntN(n)
}

// endOf returns how the pod of a pull ends.
func endOf(id string, luck int) (corev1.PodPhase, int, pull.Outcome) {
	switch {
	case strings.HasPrefix(id, bad):
		return corev1.PodFailed, pull.ExitPermanent, pull.Outcome{Reason: pull.NotFound, Message: "There is no such image."}
	case strings.HasPrefix(id, flaky) && luck < 6:
		return corev1.PodFailed, pull.ExitTransient, pull.Outcome{Reason: pull.Network, Message: "The connection broke."}
	}
	return corev1.PodSucceeded, pull.ExitDone, pull.Outcome{Digest: "sha256:" + strings.Repeat("ab", 32), BytesTotal: 1000, BytesCopied: 1000}
}

// report writes a pod's status to the API server, and reports whether the pod still exists.
func (k *kubelet) report(ctx context.Context, name string, status corev1.PodStatus) bool {
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return false
	}
	backoff := wait.Backoff{Duration: 200 * time.Millisecond, Steps: 5, Factor: 2}
	err = wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		pods := cluster.Client.CoreV1().Pods(k.namespace)
		_, err := pods.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		switch {
		case err == nil:
			return true, nil
		case isNotFound(err):
			return false, err
		}
		return false, nil
	})
	return err == nil
}
