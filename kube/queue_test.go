package kube

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pullwatch/internal/demo/fakeapi"
	"pullwatch/internal/feed"
	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
	"pullwatch/kube/pullstate"
	"pullwatch/kube/pullstate/statetest"
)

// admissionPolicy is an API server with an admission policy for changes of Jobs, but not of their status.
type admissionPolicy struct {
	http.RoundTripper
	// change changes the patch of a Job.
	change func(job, patch string) string
	// refuse returns why a patch of a Job, or its deletion, is refused; empty if it is not.
	refuse func(method, job string) string
	// code is the status code of refusals, 422 if it is 0. A webhook may choose any.
	code int
	// hang is true for a webhook that does not answer instead, away for one that cannot be asked.
	hang, away bool
	// logger is the leader's, nil for none.
	logger *slog.Logger
	// see is called with each patch of a Job, or of its status, before all else.
	see     func(job, patch string)
	off     atomic.Bool
	patches atomic.Int32
}

func (a *admissionPolicy) RoundTrip(r *http.Request) (*http.Response, error) {
	job, ofJob := strings.CutPrefix(r.URL.Path, "/apis/batch/v1/namespaces/"+testNamespace+"/jobs/")
	if !ofJob || (r.Method != http.MethodPatch && r.Method != http.MethodDelete) {
		return a.RoundTripper.RoundTrip(r)
	}
	if r.Method == http.MethodPatch {
		a.patches.Add(1)
		if a.see != nil {
			patch, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			a.see(strings.TrimSuffix(job, "/status"), string(patch))
			r = r.Clone(r.Context())
			r.Body = io.NopCloser(bytes.NewReader(patch))
		}
	}
	if a.off.Load() || strings.Contains(job, "/") {
		return a.RoundTripper.RoundTrip(r)
	}
	if a.refuse != nil {
		if why := a.refuse(r.Method, job); why != "" {
			r.Body.Close()
			if a.hang {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			status := metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Message: why,
				Code: int32(cmp.Or(a.code, http.StatusUnprocessableEntity)),
			}
			if a.away {
				status.Code, status.Message = http.StatusInternalServerError, "Internal error occurred: failed calling webhook: "+why
			}
			status.Reason = map[int32]metav1.StatusReason{
				http.StatusUnprocessableEntity: metav1.StatusReasonInvalid, http.StatusConflict: metav1.StatusReasonConflict,
				http.StatusInternalServerError: metav1.StatusReasonInternalError,
			}[status.Code]
			body, _ := json.Marshal(status)
			return &http.Response{
				StatusCode: int(status.Code), Request: r, Body: io.NopCloser(bytes.NewReader(body)),
				Header: http.Header{"Content-Type": {"application/json"}},
			}, nil
		}
	}
	if a.change != nil && r.Method == http.MethodPatch {
		patch, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		changed := a.change(job, string(patch))
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(changed)), int64(len(changed))
	}
	return a.RoundTripper.RoundTrip(r)
}

// newReplicaUnder returns a replica that leads and all of whose requests are under an admission policy.
func newReplicaUnder(t *testing.T, api *fakeapi.Server, policy *admissionPolicy, maxParallel int) *replica {
	t.Helper()
	r := newReplicaOf(t, api, feed.New("a"))
	policy.RoundTripper, r.refuse.RoundTripper = r.refuse.RoundTripper, policy
	r.watch.Demand()
	options := r.leaderOptions("a", maxParallel, nil)
	options.Log = cmp.Or(policy.logger, options.Log)
	r.run(t, NewLeader(options))
	if err := r.watch.AwaitSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func staysSuspended(_, patch string) string {
	return strings.ReplaceAll(patch, `"suspend":false`, `"suspend":true`)
}

func TestAJobThatSomethingElseSuspendsIsStartedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		policy := &admissionPolicy{change: staysSuspended, logger: slog.New(slog.NewTextHandler(&logged, nil))}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		id := r.start(t, "nginx")[0].ID
		time.Sleep(15 * time.Second) // fake time
		synctest.Wait()
		if n := policy.patches.Load(); n < 3 || n > 8 {
			t.Errorf("%d patches in 15 s", n)
		}
		if state := r.hub.Latest(id); state.Phase != pull.Queued || !says(suspendedByOther)(state) || !says("It is tried again")(state) {
			t.Errorf("%s: %s", state.Phase, state.Message)
		}
		policy.off.Store(true)
		r.await(t, id, phase(pull.Pending))
		r.stop()
		if n := strings.Count(logged.String(), "something else undoes a change of a Job"); n != 1 {
			t.Errorf("the log says it %d times: %s", n, &logged)
		}
	})
}

// As another controller of Jobs does that has its own idea of when they are to run.
func TestAJobIsNotStartedAndSuspendedInAFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		id := r.start(t, "nginx")[0].ID
		started := 0
		for began := time.Now(); time.Since(began) < 15*time.Second; {
			r.await(t, id, phase(pull.Pending))
			started++
			if _, err := r.pulls.jobs.Patch(t.Context(), id, "application/merge-patch+json", []byte(`{"spec":{"suspend":true}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			r.await(t, id, phase(pull.Queued))
		}
		if started > 5 {
			t.Errorf("started %d times in 15 s", started)
		}
	})
}

func TestARecordThatSomethingElseRemovesIsWrittenLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &admissionPolicy{change: func(_, patch string) string {
			return strings.ReplaceAll(patch, pullstate.AnnotationRecord, "other")
		}}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		id := r.start(t, "nginx")[0].ID
		r.await(t, id, phase(pull.Pending))
		before := policy.patches.Load()
		r.runPod(t, id, corev1.PodFailed, *statetest.Ended(1, statetest.Network))
		time.Sleep(30 * time.Second) // fake time
		synctest.Wait()
		if n := policy.patches.Load() - before; n < 2 || n > 8 {
			t.Errorf("%d patches in 30 s", n)
		}
	})
}

const denied = `jobs.batch is forbidden: ValidatingAdmissionPolicy 'images' denied request: this image is on the deny list`

func deny(job string) func(string, string) string {
	return func(method, of string) string {
		if method == http.MethodPatch && strings.HasPrefix(of, job) {
			return denied
		}
		return ""
	}
}

func TestAJobThatCannotBeChangedDoesNotKeepOthersInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := &admissionPolicy{refuse: deny("bad-")}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		started := r.start(t, "bad:1", "good:1", "good:2")
		bad := started[0].ID
		r.await(t, started[1].ID, phase(pull.Pending))
		r.finish(t, started[1].ID, "Complete", "")
		r.await(t, started[2].ID, phase(pull.Pending))
		if state := r.hub.Latest(bad); state.Phase != pull.Queued || !strings.Contains(state.Message, "this image is on the deny list") {
			t.Errorf("%s: %s", state.Phase, state.Message)
		}
		r.finish(t, started[2].ID, "Complete", "")
		before := policy.patches.Load()
		time.Sleep(30 * time.Second) // fake time
		synctest.Wait()
		if n := policy.patches.Load() - before; n < 1 || n > 8 {
			t.Errorf("%d patches in 30 s", n)
		}
		policy.off.Store(true)
		r.await(t, bad, phase(pull.Pending))
	})
}

func TestAQueuedPullWhoseJobCannotBeChangedIsCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplicaUnder(t, newAPI(t), &admissionPolicy{refuse: deny("bad-")}, 1)
		id := r.start(t, "bad:1")[0].ID
		synctest.Wait()
		if state, err := r.pulls.Cancel(t.Context(), id); err != nil || state.Phase != pull.Canceled {
			t.Fatalf("%+v, %v", state, err)
		}
		time.Sleep(10 * time.Second) // fake time
		synctest.Wait()
		if names := r.jobNames(t); len(names) != 0 {
			t.Errorf("Jobs are left: %v", names)
		}
	})
}

func TestWhoMayNotCancelIsToldWhyByKubernetesOwnWords(t *testing.T) {
	policy := &admissionPolicy{refuse: deny("bad-")}
	policy.off.Store(true)
	r := newReplicaUnder(t, newAPI(t), policy, 1)
	id := r.start(t, "bad:1")[0].ID
	r.await(t, id, phase(pull.Pending))
	policy.off.Store(false)
	_, err := r.pulls.Cancel(t.Context(), id)
	if usererr.CodeOf(err) != usererr.Forbidden || !strings.Contains(err.Error(), "this image is on the deny list") {
		t.Errorf("%v", err)
	}
	if state := r.hub.Latest(id); state.Phase != pull.Pending {
		t.Errorf("its copier goes on, and it is %s", state.Phase)
	}
}

// A policy may refuse deletions of Jobs.
func TestACanceledPullWhoseJobCannotBeDeletedIsDeletedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deletions atomic.Int32
		policy := &admissionPolicy{refuse: func(method, job string) string {
			if method == http.MethodDelete && strings.HasPrefix(job, "bad-") {
				deletions.Add(1)
				return denied
			}
			return ""
		}}
		r := newReplicaUnder(t, newAPI(t), policy, 1)
		started := r.start(t, "bad:1", "good:1")
		r.await(t, started[0].ID, phase(pull.Pending))
		if state, err := r.pulls.Cancel(t.Context(), started[0].ID); err != nil || state.Phase != pull.Canceled {
			t.Fatalf("%+v, %v", state, err)
		}
		r.await(t, started[1].ID, phase(pull.Pending))
		time.Sleep(30 * time.Second) // fake time
		synctest.Wait()
		if n := deletions.Load(); n < 2 || n > 8 {
			t.Errorf("%d deletions were tried in 30 s", n)
		}
		policy.off.Store(true)
		time.Sleep(longestPause) // fake time
		synctest.Wait()
		if names := r.jobNames(t); len(names) != 1 {
			t.Errorf("Jobs are left: %v", names)
		}
	})
}
