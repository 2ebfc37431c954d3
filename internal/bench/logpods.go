package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// labLogImage is e2e/lab/app.go in the lab's registry.
const labLogImage = "10.244.0.1:5000/app:1"

// logPods are pods that write logs, in a namespace of their own, and a pullwatch that streams them.
type logPods struct {
	cluster          *cluster
	namespace, image string
	remove           func()
	server           *process
}

// newLogPods starts pullwatch. The caller closes what it returns.
func newLogPods(ctx context.Context, c *cluster, program, image string) (*logPods, error) {
	if image == "" {
		image = labLogImage
	}
	namespace, remove, err := c.newNamespace(ctx)
	if err != nil {
		return nil, err
	}
	server, err := startProgram(ctx, program, c, namespace)
	if err != nil {
		remove()
		return nil, err
	}
	return &logPods{cluster: c, namespace: namespace, image: image, remove: remove, server: server}, nil
}

func (l *logPods) close() {
	l.server.close()
	l.remove()
}

// forEver is a number of lines.
const forEver = 0

// run starts a pod that writes lines of a size in bytes, with a pause in milliseconds after each, and waits until it
// has written all of them, or writes.
func (l *logPods) run(ctx context.Context, name string, lines, pause, size int) error {
	wanted := corev1.PodSucceeded
	if lines == forEver {
		wanted = corev1.PodRunning
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "main", Image: l.image,
				Args: []string{"log", strconv.Itoa(lines), strconv.Itoa(pause), strconv.Itoa(size)},
			}},
		},
	}
	pods := l.cluster.client.CoreV1().Pods(l.namespace)
	// A new namespace takes no pods before it has its service account.
	err := await(ctx, "pod "+name+" is made", func(ctx context.Context) error {
		_, err := pods.Create(ctx, pod, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return await(ctx, "pod "+name+" is "+string(wanted), func(ctx context.Context) error {
		pod, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err == nil && pod.Status.Phase != wanted {
			err = errors.New("it is " + string(pod.Status.Phase))
		}
		return err
	})
}

// runWhole has a pod write a log, again until its node keeps all of it: a log that is rotated while it is written can
// only be read in part.
func (l *logPods) runWhole(ctx context.Context, name string, lines, size int) (pod string, err error) {
	for try := range 5 {
		pod = fmt.Sprintf("%s-%d", name, try)
		if err = l.run(ctx, pod, lines, 0, size); err != nil {
			return "", err
		}
		var there int
		if there, err = l.count(ctx, pod); err != nil || there == lines {
			return pod, err
		}
		err = fmt.Errorf("the node keeps %d of %d lines: it needs a higher containerLogMaxSize", there, lines)
	}
	return "", err
}

// count returns how many lines kubectl logs brings.
func (l *logPods) count(ctx context.Context, pod string) (lines int, err error) {
	text, err := l.kubectl(ctx, pod).Output()
	return bytes.Count(text, []byte("\n")), err
}

// kubectl returns the command that reads a pod's log.
func (l *logPods) kubectl(ctx context.Context, pod string, flags ...string) *exec.Cmd {
	arguments := []string{"--kubeconfig=" + l.cluster.kubeconfig, "--namespace=" + l.namespace, "logs", pod}
	return exec.CommandContext(ctx, l.cluster.kubectl, append(arguments, flags...)...)
}
