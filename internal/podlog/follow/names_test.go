package follow

import (
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

func TestContainersAreChosenByPatternsOfWholeNames(t *testing.T) {
	for pattern, want := range map[string][]string{
		"app":           {"app"},
		"app|sidecar.*": {"app", "sidecar", "sidecar-2"},
		".*app.*":       {"app", "my-app"},
		"":              {"app", "my-app", "sidecar", "sidecar-2"},
		"none":          nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			web := finished(pod("web"))
			for _, name := range []string{"app", "my-app", "sidecar", "sidecar-2"} {
				web.Containers = append(web.Containers, podlog.Container{Name: name, Run: podlog.Run{ID: name}})
			}
			source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) { return text(at(0, req.Container)), nil }, pods(web))
			in := podInput()
			in.Containers = &pattern
			st, err := newTestStreamer(source).Stream(t.Context(), in)
			if want == nil {
				if usererr.CodeOf(err) != usererr.NotFound || !strings.Contains(err.Error(), "no container that matches none; it has app,") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			got, err := readAll(t, st)
			for i, line := range got.lines {
				_, got.lines[i], _ = strings.Cut(line, ": ")
			}
			if slices.Sort(got.lines); err != nil || !slices.Equal(got.lines, want) {
				t.Errorf("%q: got %q, %v; want %q", pattern, got.lines, err, want)
			}
		})
	}
}

// For an expression that is anchored, the regexp package may build a second program that takes seconds and a gigabyte.
func TestAHostilePatternOfNamesTakesLittleMemory(t *testing.T) {
	var pattern strings.Builder
	for i := range 290 {
		pattern.WriteString(string(rune('ā'+i)) + `?`)
	}
	pattern.WriteString(`\PL?`)
	in := podInput()
	in.Containers = ptr(pattern.String())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := newPlan(in)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err != nil || took > 10<<20 {
		t.Errorf("%v; %d bytes were allocated", err, took)
	}
}
