package podlogs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

// serveWorkloads makes api answer requests for workloads: they exist if they are called web, and select app=web.
func serveWorkloads(api *logAPI) {
	selector := &metav1.LabelSelector{
		MatchLabels:      map[string]string{"app": "web"},
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "canary", Operator: metav1.LabelSelectorOpDoesNotExist}},
	}
	byResource := map[string]any{
		"deployments":  appsv1.Deployment{Spec: appsv1.DeploymentSpec{Selector: selector}},
		"statefulsets": appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Selector: selector}},
		"daemonsets":   appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Selector: selector}},
		"cronjobs":     batchv1.CronJob{},
	}
	api.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		resource, name := path.Base(path.Dir(r.URL.Path)), path.Base(r.URL.Path)
		object, ok := byResource[resource]
		switch {
		case !ok:
			return false
		case strings.HasPrefix(name, "secret"):
			writeStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no")
		case name == "web":
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(object)
		default:
			status := newStatus(http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
			status.Details = &metav1.StatusDetails{Group: "apps", Kind: resource, Name: name}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			json.NewEncoder(w).Encode(status)
		}
		return true
	}
	api.log = func(w http.ResponseWriter, _ *http.Request) { write(w, stamped(0, "a")) }
}

func completedPod(name string) *corev1.Pod {
	return logTestPod(name, corev1.PodSucceeded, endedState("id-"+name, 0, "Completed"))
}

func TestAWorkloadHasThePodsThatItsSelectorMatches(t *testing.T) {
	for _, kind := range []string{podlog.Deployment, podlog.StatefulSet, podlog.DaemonSet} {
		t.Run(kind, func(t *testing.T) {
			api := newLogAPI(t)
			serveWorkloads(api)
			other, canary := completedPod("other"), completedPod("canary")
			other.Labels, canary.Labels["canary"] = nil, "true"
			for _, pod := range []*corev1.Pod{completedPod("web-1"), other, canary} {
				api.put(pod)
			}
			r := openStream(t, api, podlog.Input{Workload: new(kind + "/web"), Follow: true})
			r.await("ENDED web-1: exit code 0 (Completed)")
			api.put(completedPod("web-2"))
			r.await("ENDED web-2: exit code 0 (Completed)")
			for _, name := range []string{"web-1", "web-2"} {
				api.remove(completedPod(name))
			}
			r.await("WAITING stream: " + kind + " web in namespace default has no pods any more")
			api.put(completedPod("web-3"))
			r.await("ENDED web-3: exit code 0 (Completed)")
			if i := slices.IndexFunc(r.lines, func(l podlog.Line) bool { return !strings.HasPrefix(l.Pod, "web-") }); i >= 0 {
				t.Errorf("a line of %s", r.lines[i].Pod)
			}
		})
	}
}

// jobOf returns a Job and its pod. owner is the Job's CronJob.
func jobOf(name, owner string) (*batchv1.Job, *corev1.Pod) {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "default", UID: types.UID("uid-" + name),
		OwnerReferences: []metav1.OwnerReference{{Kind: "CronJob", Name: owner, UID: "cron", Controller: new(true)}},
	}}
	pod := completedPod(name + "-pod")
	pod.Labels = map[string]string{batchv1.JobNameLabel: name}
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: name, UID: job.UID, Controller: new(true)}}
	return job, pod
}

func TestACronJobHasThePodsOfItsJobs(t *testing.T) {
	for name, cut := range map[string]bool{"watched": false, "while watches are broken": true} {
		t.Run(name, func(t *testing.T) {
			api := newLogAPI(t)
			serveWorkloads(api)
			first, firstPod := jobOf("web-1", "web")
			foreign, foreignPod := jobOf("other-1", "other")
			for _, object := range []metav1.Object{first, firstPod, foreign, foreignPod} {
				api.put(object)
			}
			r := openStream(t, api, podlog.Input{Workload: new("cronjob/web"), Follow: true})
			r.await("ENDED web-1-pod: exit code 0 (Completed)")
			if cut {
				api.cutWatches(true)
			}
			// A Job is deleted before its pods.
			api.remove(first)
			second, secondPod := jobOf("by-hand", "web")
			api.put(second)
			api.put(secondPod)
			if cut {
				api.cutWatches(true)
			}
			r.await("ENDED by-hand-pod: exit code 0 (Completed)")
			api.remove(firstPod)
			api.remove(second)
			api.remove(secondPod)
			r.await("WAITING stream: cronjob web in namespace default has no pods any more")
			third, thirdPod := jobOf("web-3", "web")
			// Its pod is known first.
			api.put(thirdPod)
			api.put(third)
			r.await("ENDED web-3-pod: exit code 0 (Completed)")
			for _, l := range r.lines {
				if l.Pod == foreignPod.Name {
					t.Errorf("a line of a Job of another CronJob")
				}
			}
		})
	}
}

func TestAWorkloadThatCannotBeReadIsToldAsSuch(t *testing.T) {
	for workload, want := range map[string]struct {
		code usererr.Code
		text string
	}{
		"deployment/none":    {usererr.NotFound, "there is no deployment none in namespace default"},
		"cronjob/none":       {usererr.NotFound, "there is no cronjob none in namespace default"},
		"statefulset/secret": {usererr.Forbidden, "not allowed to get statefulsets in namespace default"},
	} {
		t.Run(workload, func(t *testing.T) {
			api := newLogAPI(t)
			serveWorkloads(api)
			_, err := newStreamer(api).Stream(t.Context(), podlog.Input{Namespace: "default", Workload: &workload, Follow: true})
			if usererr.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A namespace may have more pods of other Jobs than a stream may have, and they may come and go often.
func TestPodsOfOtherJobsCostAStreamOfACronJobNothing(t *testing.T) {
	api := newLogAPI(t)
	serveWorkloads(api)
	for i := range maxTargetPods + 1 {
		_, pod := jobOf(fmt.Sprint("other-", i), "other")
		api.put(pod)
	}
	first, firstPod := jobOf("web-1", "web")
	api.put(first)
	api.put(firstPod)
	snapshots := watchPods(t, api, podlog.Target{Workload: podlog.Workload{Kind: podlog.CronJob, Name: "web"}})
	names := func() (names []string) {
		s := <-snapshots
		for _, pod := range s.Pods {
			names = append(names, pod.Name)
		}
		if len(s.Left) > 0 {
			t.Errorf("%d pods have left", len(s.Left))
		}
		return names
	}
	if got := names(); !slices.Equal(got, []string{"web-1-pod"}) {
		t.Fatalf("began with %q", got)
	}
	_, otherPod := jobOf("other-new", "other")
	api.put(otherPod)
	firstPod.Labels["new"] = "label"
	firstPod.Status.Reason = "news"
	api.put(firstPod)
	if s := <-snapshots; len(s.Pods) != 1 || s.Pods[0].Reason != "news" {
		t.Errorf("got a snapshot of %d pods", len(s.Pods))
	}
}

func TestAWorkloadOfTooManyPodsIsRefused(t *testing.T) {
	api := newLogAPI(t)
	serveWorkloads(api)
	for i := range maxTargetPods + 1 {
		api.put(completedPod(fmt.Sprint("web-", i)))
	}
	for _, test := range []struct {
		in   podlog.Input
		want string
	}{
		{podlog.Input{Workload: new("deployment/web")}, "deployment web has more than 1000 pods: follow fewer, with a selector or by their names"},
		{podlog.Input{Selector: new("app=web")}, "more than 1000 pods match: give a more specific selector"},
	} {
		test.in.Namespace = "default"
		_, err := newStreamer(api).Stream(t.Context(), test.in)
		if usererr.CodeOf(err) != usererr.LimitExceeded || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v", err)
		}
	}
}
