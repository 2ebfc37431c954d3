package follow

import (
	"strings"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/usererr"
)

// check looks whether the first pods have what the caller asks for, and until there are any, says what it waits for.
func (r *followers) check(s podlog.Snapshot) error {
	switch {
	case r.hadPods:
		return nil
	case len(s.Pods) == 0:
		return r.checkEmpty(s)
	}
	r.hadPods = true
	if r.jobWait != nil {
		r.jobWait.Stop()
		r.st.metrics.jobWaits.Observe(time.Since(r.waitedSince).Seconds())
	}
	if err := r.checkSamePod(s.Pods); err != nil {
		return err
	}
	return r.checkContainers(s.Pods)
}

func (r *followers) checkEmpty(s podlog.Snapshot) error {
	target := r.st.plan.target
	switch {
	case target.Pod != "":
		return usererr.New(usererr.NotFound, "there is no pod %s in namespace %s", target.Pod, target.Namespace)
	case target.Job != "" && r.first && s.Final:
		return usererr.New(usererr.NotFound, "job %s in namespace %s has finished, and its pods are gone with their logs",
			target.Job, target.Namespace)
	case target.Job != "" && r.first:
		r.waitedSince = time.Now()
		r.jobWait = time.AfterFunc(podlog.JobWait, r.jobTimeout)
	}
	r.mu.Lock()
	changed := r.empty != s.Empty
	r.empty = s.Empty
	r.mu.Unlock()
	if changed {
		r.tell(podlog.Waiting, s.Empty)
	}
	return nil
}

func (r *followers) jobTimeout() {
	r.mu.Lock()
	why := r.empty
	r.mu.Unlock()
	target := r.st.plan.target
	r.st.metrics.jobTimeouts.Inc()
	r.st.fail(usererr.New(usererr.Timeout, "job %s in namespace %s has had no pod for %v: %s", target.Job,
		target.Namespace, podlog.JobWait, why))
}

// checkSamePod looks whether a stream of one pod that goes on has that pod, and not another of its name.
func (r *followers) checkSamePod(pods []podlog.Pod) error {
	after, target := r.st.plan.after, r.st.plan.target
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

func (r *followers) checkContainers(pods []podlog.Pod) error {
	plan := r.st.plan
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
		return usererr.New(usererr.NotFound, "pod %s has no container %s; it has %s", pods[0].Name, plan.container,
			containerNames(pods[0]))
	case wanted == 0:
		return usererr.New(usererr.NotFound, "none of the %d pods has a container %s; pod %s has %s", len(pods),
			plan.container, pods[0].Name, containerNames(pods[0]))
	case plan.previous && !restarted && plan.target.Pod != "":
		return usererr.New(usererr.NotFound, "pod %s has no previous log: what was asked for has not been restarted",
			plan.target.Pod)
	}
	return nil
}

func containerNames(pod podlog.Pod) string {
	names := make([]string, len(pod.Containers))
	for i, c := range pod.Containers {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}
