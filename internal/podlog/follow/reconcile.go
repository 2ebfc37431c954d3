package follow

import (
	"slices"

	"pullwatch/internal/budget"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
)

// reconcile starts and updates followers for a new snapshot. It never blocks, so that a slow reader does not hold up the
// watch.
func (fs *followers) reconcile(s podlog.Snapshot) {
	if fs.st.ctx.Err() != nil || fs.isSealed() && !fs.st.plan.follow {
		return
	}
	if fs.st.plan.target.Pod != "" {
		s.Pods = fs.onePod(s.Pods)
	}
	if err := fs.check(s); err != nil {
		fs.st.fail(err)
		return
	}
	if err := fs.update(s); err != nil {
		fs.st.fail(err)
		return
	}
	fs.forgetDeparted()
	fs.seal(s.Final)
	if fs.first {
		fs.first = false
		close(fs.st.started)
	}
}

// onePod returns only the pod of the first snapshot: a later one of the same name is not what the caller asked for.
func (fs *followers) onePod(pods []podlog.Pod) []podlog.Pod {
	if fs.first && len(pods) > 0 {
		fs.uid = pods[0].UID
	}
	return slices.DeleteFunc(slices.Clone(pods), func(p podlog.Pod) bool { return p.UID != fs.uid })
}

// update gives followers the new status of their containers, and starts one for each new container.
func (fs *followers) update(s podlog.Snapshot) error {
	begins := fs.st.begin(len(s.Pods) > 0)
	inSnapshot := map[cursor.ContainerKey]bool{}
	var added []*follower
	tooMany := 0
	for _, pod := range s.Pods {
		for _, c := range pod.Containers {
			if !fs.st.plan.wants(c.Name) {
				continue
			}
			key := cursor.NewContainerKey(pod.UID, c.Name)
			inSnapshot[key] = true
			status := containerStatus{Container: c, podReason: pod.Reason, over: pod.Finished, recoveries: s.Recoveries}
			if fs.updateEntry(key, status) {
				continue
			}
			if len(fs.entries) == podlog.MaxContainers {
				tooMany++
				continue
			}
			if f := fs.newEntry(pod, key, status, begins); f != nil {
				added = append(added, f)
			}
		}
	}
	for key, e := range fs.entries {
		if !inSnapshot[key] {
			status := e.get()
			status.left = slices.Contains(s.Left, e.podUID)
			status.gone, status.over = !status.left, !status.left
			e.set(status)
		}
	}
	if err := fs.checkNumber(added, tooMany); err != nil {
		return err
	}
	if fs.first {
		fs.notifyResumed(inSnapshot)
	}
	return fs.start(added)
}

// updateEntry gives a container's follower its new status. It returns false if there is no follower, or if it has ended
// because the container had departed.
func (fs *followers) updateEntry(key cursor.ContainerKey, status containerStatus) bool {
	e := fs.entries[key]
	if e == nil {
		return false
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if e.get().departed() && e.hasEnded() {
		fs.remove(key, e)
		return false
	}
	e.set(status)
	return true
}

// start starts followers. They ask for places before any of them runs: those of runs that have ended first, which keep them for a
// short time only. So no place is taken for long while one of those waits.
func (fs *followers) start(added []*follower) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, running := range []bool{false, true} {
		for _, f := range added {
			if f.isRunning() != running {
				continue
			}
			f.account = fs.st.budget.Open(fs.st.plan.caller, 0)
			if err := fs.startOne(f); err != nil {
				f.account.Close()
				return err
			}
		}
	}
	return nil
}

func (fs *followers) startOne(f *follower) error {
	if err := f.account.Take(budget.Logs, followerMemory); err != nil {
		return err
	}
	if len(f.runs(f.status.get())) > 0 {
		if err := f.requestPlace(); err != nil {
			return err
		}
		fs.st.queue.Activate(f.container, f.placed)
	}
	fs.active++
	e := fs.entries[f.container.Key]
	fs.st.running.Go(func() {
		defer f.account.Close()
		defer f.leavePlace()
		fs.follow(f, e)
	})
	return nil
}

// follow runs a follower to its end.
func (fs *followers) follow(f *follower, e *entry) {
	for again := true; again; {
		if err := f.run(fs.st.ctx); err != nil {
			fs.st.fail(err)
		}
		fs.st.queue.Activate(e.container, false)
		fs.mu.Lock()
		s := e.get()
		// The container may have come back while the follower ended.
		again = fs.st.plan.follow && !s.departed() && !s.over && fs.st.ctx.Err() == nil
		if again {
			fs.mu.Unlock()
		}
	}
	defer fs.mu.Unlock()
	fs.st.queue.End(e.container)
	e.progress = f.progress
	close(e.ended)
	fs.active--
	fs.finishIfComplete()
}

// forgetDeparted removes entries of departed containers whose followers have ended, so that cursors leave them out.
func (fs *followers) forgetDeparted() {
	for key, e := range fs.entries {
		if e.get().departed() && e.hasEnded() {
			fs.remove(key, e)
		}
	}
}

// seal notes whether followers may still be added. Without Input.Follow, it ends the watch once none may.
func (fs *followers) seal(final bool) {
	plan := fs.st.plan
	fs.mu.Lock()
	defer fs.mu.Unlock()
	switch {
	case !plan.follow:
		fs.sealed = fs.hadPods || plan.target.Job == ""
		if fs.sealed {
			fs.st.stopWatch()
		}
	case plan.target.Pod != "":
		fs.sealed = true
	case plan.target.Job != "":
		fs.sealed = final && fs.hadPods
	}
	fs.finishIfComplete()
}
