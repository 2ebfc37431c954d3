package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"pullwatch/e2e/harness"
)

const (
	// patienceWithPulls is how long pulls may take to end by themselves, knowLimit how soon after that all clients and
	// replicas know how.
	patienceWithPulls = 6 * time.Second
	knowLimit         = 30 * time.Second
)

// settle ends all pulls when the faults are over, and checks that all clients and all replicas come to know the truth.
func (w *world) settle() {
	w.t.Helper()
	w.calm.Store(true)
	w.users.Wait()
	w.awaitReady()
	w.endPulls()
	harness.Within(w.t, knowLimit, func() bool {
		jobs := w.truth.snapshot()
		return !slices.ContainsFunc(w.subscribers, func(s *subscriber) bool { return len(s.lacking(w.owed(jobs))) > 0 })
	})
	jobs := w.truth.snapshot()
	for _, s := range w.subscribers {
		for _, j := range s.lacking(w.owed(jobs)) {
			w.verdict.add(violation{kind: "a last state never came", client: s.name, id: j.id})
		}
	}
	w.agree()
	w.compare(jobs)
	w.judge(jobs)
}

// endPulls waits until all pulls have ended. It cancels those that take long: the Job controller waits ever longer before each
// further attempt.
func (w *world) endPulls() {
	w.t.Helper()
	none := func() bool { return len(w.truth.some(active)) == 0 }
	if harness.Within(w.t, patienceWithPulls, none) {
		return
	}
	for began := time.Now(); time.Since(began) < knowLimit; {
		for i, id := range w.truth.some(active) {
			var data struct{ CancelPull struct{ Phase string } }
			// What cannot be canceled now is tried again.
			_ = w.replicas[i%len(w.replicas)].process.Ask(w.t.Context(), cancelPull, map[string]any{"id": id}, &data)
		}
		if harness.Within(w.t, time.Second, none) {
			return
		}
	}
	w.verdict.add(violation{kind: "pulls do not end", text: fmt.Sprint(w.truth.some(active))})
}

// owed leaves out pulls whose Jobs are gone and that replicas or Redis may have forgotten: only they knew of them.
func (w *world) owed(jobs []job) []job {
	return slices.DeleteFunc(slices.Clone(jobs), func(j job) bool {
		return !j.gone.IsZero() && w.journal.forgetful(j.ended, time.Now())
	})
}

// agree checks that the lists of all replicas become those of the cluster.
func (w *world) agree() {
	var differs string
	harness.Within(w.t, knowLimit, func() bool {
		differs = ""
		wantActive := w.truth.some(active)
		wantFailed := w.truth.some(func(j *job) bool { return j.final == failed && j.gone.IsZero() })
		var order []string
		for _, r := range w.replicas {
			l, err := askLists(w.t.Context(), r.process)
			if err != nil {
				differs += fmt.Sprintf("replica %d: %v; ", r.index, err)
				continue
			}
			if order != nil && !slices.Equal(order, l.failed) {
				differs += fmt.Sprintf("replica %d lists the same pulls in another order; ", r.index)
			}
			order = slices.Clone(l.failed)
			slices.Sort(l.active)
			slices.Sort(l.failed)
			if !slices.Equal(l.active, wantActive) || !slices.Equal(l.failed, wantFailed) || l.stale {
				differs += fmt.Sprintf("replica %d (stale: %t): active %v, failed %v; ", r.index, l.stale, deviation(l.active, wantActive), deviation(l.failed, wantFailed))
			}
		}
		return differs == ""
	})
	if differs != "" {
		w.verdict.add(violation{kind: "lists do not agree after the faults", text: differs})
	}
}

// deviation returns what is too much (+) and what is missing (-).
func deviation(got, want []string) []string {
	var all []string
	for _, id := range got {
		if !slices.Contains(want, id) {
			all = append(all, "+"+id)
		}
	}
	for _, id := range want {
		if !slices.Contains(got, id) {
			all = append(all, "-"+id)
		}
	}
	return all
}

// compare checks that each pull is the same on all replicas. One whose Job is gone need not be known any more.
func (w *world) compare(jobs []job) {
	newest := map[string]job{}
	for _, j := range jobs {
		newest[j.id] = j
	}
	for _, id := range slices.Sorted(maps.Keys(newest)) {
		j := newest[id]
		var states []string
		for _, r := range w.replicas {
			s, err := askPull(w.t.Context(), r.process, id)
			switch {
			case err != nil:
				w.verdict.add(violation{kind: "a pull cannot be asked for after the faults", id: id, text: err.Error()})
			case s == nil && j.gone.IsZero():
				w.verdict.add(violation{kind: "a pull is not known after the faults", id: id, text: fmt.Sprintf("replica %d", r.index)})
			case s == nil:
			case s.Phase != j.final:
				w.verdict.add(violation{kind: "a pull is something else after the faults", id: id, text: fmt.Sprintf("replica %d has %s", r.index, s.raw)})
			default:
				states = append(states, s.raw)
			}
		}
		for _, other := range states[min(1, len(states)):] {
			if differs := difference(states[0], other); differs != "" {
				w.verdict.add(violation{kind: "replicas differ on a pull after the faults", id: id, text: differs})
			}
		}
	}
	w.counts.add("pulls", len(jobs))
}

func askPull(ctx context.Context, process *harness.Server, id string) (*state, error) {
	ctx, cancel := context.WithTimeout(ctx, mutationLimit)
	defer cancel()
	var data struct{ PullJob json.RawMessage }
	if err := process.Ask(ctx, `query($id: ID!) { pullJob(id: $id) { `+pullFields+` } }`, map[string]any{"id": id}, &data); err != nil {
		return nil, err
	}
	if string(data.PullJob) == "null" {
		return nil, nil
	}
	s, err := readState(data.PullJob)
	return &s, err
}

// judge checks all states that clients got.
func (w *world) judge(jobs []job) {
	h := &histories{verdict: &w.verdict, counts: &w.counts, redisTrouble: w.journal.redis, jobs: map[[2]string]job{}, meaning: map[string]string{}}
	for _, j := range jobs {
		h.jobs[j.key()] = j
	}
	for _, s := range w.subscribers {
		s.mu.Lock()
		h.check(s.name, s.connections, s.deliveries)
		w.counts.add("connections", len(s.connections))
		w.counts.add("updates", len(s.deliveries))
		s.mu.Unlock()
	}
	w.truth.mu.Lock()
	defer w.truth.mu.Unlock()
	for _, what := range w.truth.tooMany {
		w.verdict.add(violation{kind: "more pulls run than may", text: what})
	}
}

// holdings is the most goroutines, files and the like that a process holds: it could leak them.
type holdings struct{ goroutines, files float64 }

// slack is by how much a replica may differ from itself. Its connections to Redis grow with use up to a bound, and a leader has
// more than others.
const slack = 25

func (w *world) most() holdings {
	http.DefaultClient.CloseIdleConnections()
	var most holdings
	for _, r := range w.replicas {
		goroutines, err := r.gauge(w.t.Context(), "go_goroutines")
		files, fileErr := r.gauge(w.t.Context(), "process_open_fds")
		if err != nil || fileErr != nil {
			return holdings{1e9, 1e9}
		}
		most = holdings{max(most.goroutines, goroutines), max(most.files, files)}
	}
	return most
}

// leave ends all clients, and checks that replicas keep nothing of them and end well.
func (w *world) leave() {
	w.t.Helper()
	w.stopClients()
	var now holdings
	if !harness.Within(w.t, knowLimit, func() bool {
		now = w.most()
		return now.goroutines <= w.idle.goroutines+slack && now.files <= w.idle.files+slack
	}) {
		w.verdict.add(violation{kind: "replicas keep what they took for clients", text: fmt.Sprintf("%+v; before anybody came %+v", now, w.idle)})
	}
	var leading float64
	if !harness.Within(w.t, knowLimit, func() bool {
		leading = 0
		for _, r := range w.replicas {
			if leads, err := r.gauge(w.t.Context(), "pullwatch_leader"); err == nil {
				leading += leads
			}
		}
		return leading == 1
	}) {
		w.verdict.add(violation{kind: "not one replica leads after the faults", text: fmt.Sprintf("%g do", leading)})
	}
	for _, r := range w.replicas {
		r.terminate(w.t)
	}
}
