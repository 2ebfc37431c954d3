package follow

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/cursor"
	"pullwatch/internal/usererr"
)

func TestInvalidInputIsRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		in   func(*podlog.Input)
		// says is part of the error's message; empty when there must be no error.
		says string
	}{
		{"pod", func(*podlog.Input) {}, ""},
		{"pod with dots", func(in *podlog.Input) { in.Pod = ptr("web.example-1") }, ""},
		{"job", func(in *podlog.Input) { in.Pod, in.Job = nil, ptr("copy") }, ""},
		{"selector", func(in *podlog.Input) { in.Pod, in.Selector = nil, ptr("app=web") }, ""},
		{"none", func(in *podlog.Input) { in.Pod = nil }, "exactly one of pod, job, workload and selector must be given, not 0"},
		{"two", func(in *podlog.Input) { in.Job = ptr("copy") }, "not 2 of them"},
		{"empty selector", func(in *podlog.Input) { in.Pod, in.Selector = nil, ptr(" ") }, "selector is empty"},
		{"no namespace", func(in *podlog.Input) { in.Namespace = "" }, "namespace"},
		{"namespace with a dot", func(in *podlog.Input) { in.Namespace = "a.b" }, "namespace"},
		{"long namespace", func(in *podlog.Input) { in.Namespace = strings.Repeat("a", 64) }, "namespace"},
		{"path as pod", func(in *podlog.Input) { in.Pod = ptr("../secrets") }, "pod"},
		{"empty pod", func(in *podlog.Input) { in.Pod = ptr("") }, "pod"},
		{"upper case job", func(in *podlog.Input) { in.Pod, in.Job = nil, ptr("Copy") }, "job"},
		{"long pod", func(in *podlog.Input) { in.Pod = ptr(strings.Repeat("a", 254)) }, "pod"},
		{"workload", func(in *podlog.Input) { in.Pod, in.Workload = nil, ptr("deployment/web") }, ""},
		{"workload beside pod", func(in *podlog.Input) { in.Workload = ptr("deployment/web") }, "not 2"},
		{"unknown workload", func(in *podlog.Input) { in.Pod, in.Workload = nil, ptr("replicaset/web") }, "with one of deployment, statefulset, daemonset, cronjob"},
		{"workload without a name", func(in *podlog.Input) { in.Pod, in.Workload = nil, ptr("deployment") }, `workload "" is not a name`},
		{"bad workload", func(in *podlog.Input) { in.Pod, in.Workload = nil, ptr("cronjob/a/b") }, `workload "a/b" is not a name`},
		{"bad container", func(in *podlog.Input) { in.Container = ptr("a_b") }, "container"},
		{"containers", func(in *podlog.Input) { in.Containers = ptr("app|sidecar.*") }, ""},
		{"empty containers", func(in *podlog.Input) { in.Container, in.Containers = ptr("app"), ptr("") }, ""},
		{"bad containers", func(in *podlog.Input) { in.Containers = ptr("a)|(b") }, "containers is not an RE2 expression"},
		{"long containers", func(in *podlog.Input) { in.Containers = ptr(strings.Repeat("a", podlog.MaxExpression+1)) }, "containers is 1025 bytes"},
		{"both kinds of containers", func(in *podlog.Input) { in.Container, in.Containers = ptr("app"), ptr("app") }, "give only one"},
		{"tail of 0", func(in *podlog.Input) { in.TailLines = ptr(0) }, ""},
		{"longest tail", func(in *podlog.Input) { in.TailLines = ptr(podlog.MaxTailLines) }, ""},
		{"negative tail", func(in *podlog.Input) { in.TailLines = ptr(-1) }, "tailLines is -1"},
		{"too long a tail", func(in *podlog.Input) { in.TailLines = ptr(podlog.MaxTailLines + 1) }, "tailLines is 10001"},
		{"shortest lines", func(in *podlog.Input) { in.MaxLineBytes = ptr(1) }, ""},
		{"longest lines", func(in *podlog.Input) { in.MaxLineBytes = ptr(podlog.MaxLineBytes) }, ""},
		{"lines of nothing", func(in *podlog.Input) { in.MaxLineBytes = ptr(0) }, "maxLineBytes is 0; it must be 1 to 262144"},
		{"too long lines", func(in *podlog.Input) { in.MaxLineBytes = ptr(podlog.MaxLineBytes + 1) }, "maxLineBytes is 262145"},
		{"bad include", func(in *podlog.Input) { in.Include = ptr("a(b") }, "include is not an RE2 expression: error parsing regexp: missing closing )"},
		{"bad exclude", func(in *podlog.Input) { in.Exclude = ptr(`\1`) }, "exclude is not an RE2 expression"},
		{"long include", func(in *podlog.Input) { in.Include = ptr(strings.Repeat("a", podlog.MaxExpression+1)) }, "1025 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := podInput()
			test.in(&in)
			_, err := newPlan(in)
			switch {
			case test.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.says != "" && (usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), test.says)):
				t.Errorf("got %v, want BAD_INPUT that says %q", err, test.says)
			}
		})
	}
}

// FuzzNames checks that what goes into paths of the API server is what Kubernetes takes for names, and nothing else.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"web-1", "web.example", "", "..", "a/b", "A", "a.-b", "a\n", "1", strings.Repeat("a", 64), strings.Repeat("a.", 126) + "a"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for field, c := range map[string]struct {
			change func(*podlog.Input)
			faults []string
		}{
			"namespace": {func(in *podlog.Input) { in.Namespace = name }, validation.IsDNS1123Label(name)},
			"container": {func(in *podlog.Input) { in.Container = &name }, validation.IsDNS1123Label(name)},
			"pod":       {func(in *podlog.Input) { in.Pod = &name }, validation.IsDNS1123Subdomain(name)},
			"job":       {func(in *podlog.Input) { in.Pod, in.Job = nil, &name }, validation.IsDNS1123Subdomain(name)},
		} {
			in := podInput()
			c.change(&in)
			_, err := newPlan(in)
			if (err == nil) != (len(c.faults) == 0) {
				t.Errorf("%s: %v; %q", field, err, c.faults)
			}
			if err != nil && usererr.CodeOf(err) != usererr.BadInput {
				t.Errorf("%s: %v is not BAD_INPUT", field, err)
			}
		}
	})
}

func TestACursorOfAnotherStreamIsRefused(t *testing.T) {
	in := podInput()
	own, err := newPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*podlog.Input){
		"namespace": func(in *podlog.Input) { in.Namespace = "other" },
		"pod":       func(in *podlog.Input) { in.Pod = ptr("other") },
		"job":       func(in *podlog.Input) { in.Pod, in.Job = nil, in.Pod },
		"selector":  func(in *podlog.Input) { in.Pod, in.Selector = nil, in.Pod },
		"container": func(in *podlog.Input) { in.Container = ptr("other") },
		"previous":  func(in *podlog.Input) { in.Previous = true },
	} {
		other := in
		other.After = ptr(cursor.NewEncoder(own.digest, time.Time{}, 0).String())
		if _, err := newPlan(other); err != nil {
			t.Errorf("the same: %v", err)
		}
		change(&other)
		if _, err := newPlan(other); usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), "another stream") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
