package follow

import (
	"slices"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/usererr"
)

// reconcile brings the followers in line with what there is now. It never blocks, so that the watch goes on however
// slow the reader is.
func (r *followers) reconcile(s podlog.Snapshot) {
	if r.st.ctx.Err() != nil || r.isSealed() && !r.st.plan.follow {
		return
	}
	if r.st.plan.target.Pod != "" {
		s.Pods = r.onePod(s.Pods)
	}
	if err := r.check(s); err != nil {
		r.st.fail(err)
		return
	}
	if err := r.update(s); err != nil {
		r.st.fail(err)
		return
	}
	r.forgetGone()
	r.seal(s.Final)
	if r.first {
		r.first = false
		close(r.st.started)
	}
}

// onePod leaves only the pod that was there first: another of the same name is not what the caller asked for.
func (r *followers) onePod(pods []podlog.Pod) []podlog.Pod {
	if r.first && len(pods) > 0 {
		r.uid = pods[0].UID
	}
	return slices.DeleteFunc(slices.Clone(pods), func(p podlog.Pod) bool { return p.UID != r.uid })
}

// update tells the followers what has changed, and starts one for each container that is new.
func (r *followers) update(s podlog.Snapshot) error {
	begins := r.st.begin(len(s.Pods) > 0)
	present := map[cursor.ContainerKey]bool{}
	var added []*follower
	for _, pod := range s.Pods {
		for _, c := range pod.Containers {
			if !r.st.plan.wants(c.Name) {
				continue
			}
			key := cursor.NewContainerKey(pod.UID, c.Name)
			present[key] = true
			status := containerStatus{Container: c, over: pod.Finished, recoveries: s.Recoveries}
			if r.isFollowed(key, status) {
				continue
			}
			if f := r.newEntry(pod.Name, key, status, begins); f != nil {
				added = append(added, f)
			}
		}
	}
	for key, m := range r.entries {
		if !present[key] {
			status := m.get()
			status.over, status.gone = true, true
			m.set(status)
		}
	}
	if r.first {
		r.tellAbsent(present)
	}
	return r.start(added)
}

// isFollowed tells a container's follower how it stands. It returns false if there is none, or if it has ended because
// the container was gone.
func (r *followers) isFollowed(key cursor.ContainerKey, status containerStatus) bool {
	m := r.entries[key]
	if m == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.get().gone && m.hasEnded() {
		r.leave(key, m)
		return false
	}
	m.set(status)
	return true
}

func (r *followers) start(added []*follower) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.active + len(added); n > podlog.MaxContainers {
		return usererr.New(usererr.LimitExceeded, "%d containers are too many for one stream, which takes %d: narrow it "+
			"with container, with a more specific selector, or by naming one pod", n, podlog.MaxContainers)
	}
	for _, f := range added {
		m := r.entries[f.container.Key]
		account := r.st.budget.Open(r.st.plan.caller, 0)
		if err := account.Take(budget.Logs, r.st.plan.followerMemory()); err != nil {
			return err
		}
		r.active++
		r.st.running.Go(func() {
			defer account.Close()
			r.follow(f, m)
		})
	}
	return nil
}

// follow runs a follower to its end.
func (r *followers) follow(f *follower, m *entry) {
	for again := true; again; {
		if err := f.run(r.st.ctx); err != nil {
			r.st.fail(err)
		}
		r.st.queue.Activate(m.container, false)
		r.mu.Lock()
		s := m.get()
		// What was gone may have come back while the follower saw to the end of it.
		again = r.st.plan.follow && !s.gone && !s.over && r.st.ctx.Err() == nil
		if again {
			r.mu.Unlock()
		}
	}
	defer r.mu.Unlock()
	m.progress = f.progress
	close(m.ended)
	r.active--
	r.finishIfComplete()
}

// forgetGone takes containers of deleted pods, whose followers have ended, out of the cursor.
func (r *followers) forgetGone() {
	for key, m := range r.entries {
		if m.get().gone && m.hasEnded() {
			r.leave(key, m)
		}
	}
}

// seal ends the watch once nothing that it can tell matters any more.
func (r *followers) seal(final bool) {
	plan := r.st.plan
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !plan.follow:
		r.sealed = r.hadPods || plan.target.Job == ""
		if r.sealed {
			r.st.stopWatch()
		}
	case plan.target.Pod != "":
		r.sealed = true
	case plan.target.Job != "":
		r.sealed = final && r.hadPods
	}
	r.finishIfComplete()
}
