package follow

import (
	"fmt"
	"strings"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/usererr"
)

// check returns an error if the first pods do not have what the caller asks for. While there are no pods, it says what the
// stream waits for.
func (fs *followers) check(s podlog.Snapshot) error {
	switch {
	case len(s.Pods) == 0:
		return fs.checkEmpty(s)
	case fs.hadPods:
		fs.setEmpty("")
		return nil
	}
	fs.hadPods = true
	if fs.jobWait != nil {
		fs.jobWait.Stop()
		fs.st.metrics.jobWaits.Observe(time.Since(fs.waitedSince).Seconds())
	}
	if err := fs.checkSamePod(s.Pods); err != nil {
		return err
	}
	return fs.checkContainers(s.Pods)
}

func (fs *followers) checkEmpty(s podlog.Snapshot) error {
	target := fs.st.plan.target
	switch {
	case fs.hadPods && target.Selector == "" && target.Workload.Kind == "":
		return nil // it ends with them, or tells of the next one
	case fs.hadPods:
	case target.Pod != "":
		return usererr.New(usererr.NotFound, "there is no pod %s in namespace %s", target.Pod, target.Namespace)
	case target.Job != "" && fs.first && s.Final:
		return usererr.New(usererr.NotFound, "job %s in namespace %s has finished, and its pods are gone with their logs",
			target.Job, target.Namespace)
	case target.Job != "" && fs.first:
		fs.waitedSince = time.Now()
		fs.jobWait = time.AfterFunc(podlog.JobWait, fs.jobTimeout)
	}
	if s.Empty == "" || s.Empty != fs.empty && fs.notify(podlog.Waiting, s.Empty) {
		fs.setEmpty(s.Empty)
	}
	return nil
}

// setEmpty notes what the reader was told of why there are no pods.
func (fs *followers) setEmpty(why string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.empty = why
}

func (fs *followers) jobTimeout() {
	fs.mu.Lock()
	why := fs.empty
	fs.mu.Unlock()
	target := fs.st.plan.target
	fs.st.metrics.jobTimeouts.Inc()
	fs.st.fail(usererr.New(usererr.Timeout, "job %s in namespace %s has had no pod for %v: %s", target.Job,
		target.Namespace, podlog.JobWait, why))
}

// checkSamePod returns an error if a resumed stream of one pod finds another pod of the same name.
func (fs *followers) checkSamePod(pods []podlog.Pod) error {
	after, target := fs.st.plan.after, fs.st.plan.target
	if target.Pod == "" || after == nil || len(after.Containers) == 0 {
		return nil
	}
	for _, c := range pods[0].Containers {
		if _, ok := after.Containers[cursor.NewContainerKey(pods[0].UID, c.Name)]; ok {
			return nil
		}
	}
	return usererr.New(usererr.NotFound, "the pod that after is of is gone, and its logs with it: pod %s in namespace %s "+
		"is another one. Leave after out to read that", target.Pod, target.Namespace)
}

func (fs *followers) checkContainers(pods []podlog.Pod) error {
	plan := fs.st.plan
	wanted, restarted := 0, false
	for _, pod := range pods {
		for _, c := range pod.Containers {
			if plan.wants(c.Name) {
				wanted++
				restarted = restarted || c.Previous.ID != ""
			}
		}
	}
	switch {
	case wanted == 0 && len(pods) == 1:
		return usererr.New(usererr.NotFound, "pod %s has no container %s; it has %s", pods[0].Name, plan.wanted(),
			containerNames(pods[0]))
	case wanted == 0:
		return usererr.New(usererr.NotFound, "none of the %d pods has a container %s; pod %s has %s", len(pods),
			plan.wanted(), pods[0].Name, containerNames(pods[0]))
	case plan.previous && !restarted && plan.target.Pod != "":
		return usererr.New(usererr.NotFound, "pod %s has no previous log: what was asked for has not been restarted",
			plan.target.Pod)
	}
	return nil
}

// checkNumber returns an error if a stream begins with more containers than it may have, or with more running ones than it can
// follow. When more come later, and in a stream that goes on behind a cursor, the reader is told instead.
func (fs *followers) checkNumber(added []*follower, tooMany int) error {
	running := 0
	for _, f := range added {
		if f.isRunning() {
			running++
		}
	}
	begins := fs.first && fs.st.plan.after == nil
	switch {
	case begins && tooMany > 0:
		return usererr.New(usererr.LimitExceeded, "%d containers are too many for one stream, which takes %d. %s",
			podlog.MaxContainers+tooMany, podlog.MaxContainers, narrow)
	case begins && fs.st.plan.follow && running > podlog.MaxOpenLogs:
		return usererr.New(usererr.LimitExceeded, "%d containers run, and one stream follows %d. %s", running, podlog.MaxOpenLogs,
			narrow)
	case tooMany == 0:
		fs.leftOut = false
	case !fs.leftOut:
		fs.leftOut = fs.notify(podlog.Waiting, fmt.Sprintf("this stream has %d containers, as many as one may: %d more are left out. %s",
			podlog.MaxContainers, tooMany, narrow))
	}
	return nil
}

// isRunning reports whether the container runs, and is of the stream.
func (f *follower) isRunning() bool {
	s := f.status.get()
	return s.Run.Running && !s.over && !s.left
}

func containerNames(pod podlog.Pod) string {
	names := make([]string, len(pod.Containers))
	for i, c := range pod.Containers {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}
