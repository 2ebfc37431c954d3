package podlogs

import (
	"testing"

	"k8s.io/apimachinery/pkg/labels"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

// FuzzSelector checks that the API server reads a selector as it was read here, whatever it looked like.
func FuzzSelector(f *testing.F) {
	for _, selector := range []string{
		"app=api,tier!=db", "a in (b, c),!d", "a notin (),e", "a==b", "a>1,b<2", "a=", "x/y=z", ",", "a in (,)", "a,a", "a in b", "=", "in in (in)",
	} {
		f.Add(selector, "a", "b")
	}
	f.Fuzz(func(t *testing.T, selector, name, value string) {
		watch := targetWatch{target: podlog.Target{Namespace: "default", Selector: selector}}
		asked, err := watch.podWatch()
		if err != nil {
			if usererr.CodeOf(err) != usererr.BadInput {
				t.Errorf("%v is not BAD_INPUT", err)
			}
			return
		}
		meant, err := labels.Parse(selector)
		if err != nil {
			t.Fatal(err)
		}
		read, err := labels.Parse(asked.Options.LabelSelector)
		if err != nil {
			t.Fatalf("%q is sent as %q: %v", selector, asked.Options.LabelSelector, err)
		}
		for _, pod := range []labels.Set{{}, {name: value}, {name: ""}} {
			if meant.Matches(pod) != read.Matches(pod) {
				t.Errorf("%q is sent as %q, and %v matches one of them", selector, asked.Options.LabelSelector, pod)
			}
		}
	})
}
