package kube

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"pullwatch/internal/pull"
	"pullwatch/kube/pullstate"
)

// tailTimeout bounds the reading of the last lines of a copier that has failed. A pull's failure is published without them when
// the kubelet does not answer by then.
const tailTimeout = time.Second

// CopierLogs follows the log of every copier that runs, for its progress, and reads the last lines of each that failed.
type CopierLogs struct {
	client  kubernetes.Interface
	tracker *Tracker
	logger  *slog.Logger
}

// NewCopierLogs returns CopierLogs that give what they read to tracker.
func NewCopierLogs(client kubernetes.Interface, tracker *Tracker, logger *slog.Logger) *CopierLogs {
	return &CopierLogs{client: client, tracker: tracker, logger: logger}
}

// logReader reads one copier's log. follow is true if it waits for further lines.
type logReader struct {
	cancel context.CancelFunc
	follow bool
}

// Run reads until ctx is done, and has ended every reader when it returns.
func (c *CopierLogs) Run(ctx context.Context) error {
	changed, unsubscribe := c.tracker.changed.Subscribe()
	defer unsubscribe()
	var wg sync.WaitGroup
	defer wg.Wait()
	readers := map[types.UID]logReader{}
	ended := make(chan types.UID)
	for {
		want := c.tracker.unreadPods()
		for uid, r := range readers {
			// A kubelet ends a followed log seconds after its container. Do not wait for that: read the log once more, to its
			// end.
			if pod := want[uid]; pod == nil || (r.follow && pullstate.CopierStatus(pod).State.Running == nil) {
				r.cancel()
			}
		}
		for uid, pod := range want {
			if _, reading := readers[uid]; reading {
				continue
			}
			read, follow := c.readTail, pullstate.CopierStatus(pod).State.Running != nil
			if follow {
				read = c.follow
			}
			reading, cancel := context.WithCancel(ctx)
			readers[uid] = logReader{cancel, follow}
			wg.Go(func() {
				defer cancel()
				read(reading, pod)
				select {
				case ended <- uid:
				case <-ctx.Done():
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case uid := <-ended:
			delete(readers, uid)
		}
	}
}

// follow reads a running copier's log until ctx is done. A log that breaks off is opened again.
func (c *CopierLogs) follow(ctx context.Context, pod *corev1.Pod) {
	const shortest, longest = 200 * time.Millisecond, 5 * time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		var log pullstate.Log
		err := c.read(ctx, pod, true, func(line []byte) {
			log.Add(line)
			c.tracker.observeLog(pod, log)
			pause = shortest
		})
		if ctx.Err() != nil {
			return
		}
		c.logger.Debug("a copier's log broke off", "pod", pod.Name, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// readTail reads the last lines of a copier that has failed. The log counts as complete even when it cannot be read, so that
// the pull's final state does not wait for it.
func (c *CopierLogs) readTail(ctx context.Context, pod *corev1.Pod) {
	reading, cancel := context.WithTimeout(ctx, tailTimeout)
	defer cancel()
	var log pullstate.Log
	if err := c.read(reading, pod, false, log.Add); err != nil && ctx.Err() == nil {
		c.logger.Warn("the last lines of a failed copier could not be read", "pod", pod.Name, "error", err)
	}
	log.Complete = true
	c.tracker.observeLog(pod, log)
}

// read calls each with the last lines of a copier's log and, if follow is set, with those that come later.
func (c *CopierLogs) read(ctx context.Context, pod *corev1.Pod, follow bool, each func([]byte)) error {
	body, err := c.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: pull.ContainerName, Follow: follow, TailLines: new(int64(pull.MaxLogTail)),
	}).Stream(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	const longestLine = 16 << 10
	lines := bufio.NewReaderSize(body, longestLine)
	for {
		line, rest, err := lines.ReadLine()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		each(line)
		for rest && err == nil {
			_, rest, err = lines.ReadLine()
		}
	}
}

// unreadPods returns the pods whose copier's log is to be read.
func (t *Tracker) unreadPods() map[types.UID]*corev1.Pod {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.unread)
}
