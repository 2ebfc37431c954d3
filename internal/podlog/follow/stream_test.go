package follow

import (
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

func TestALogIsOpenedAgainAtTheLastLine(t *testing.T) {
	for _, test := range []struct {
		name string
		in   func(*podlog.Input)
		log  []reply
		want []podlog.LogRequest
	}{
		{
			"tail, then behind the last line",
			func(in *podlog.Input) { in.TailLines = ptr(5) },
			[]reply{ok(broken, at(1700, "a")), ok(hanging, "")},
			[]podlog.LogRequest{{Tail: ptr(7)}, {Tail: ptr(49)}, {Follow: true}, {Follow: true, Since: start.Add(time.Second)}},
		},
		{
			"from the line before the tail",
			func(in *podlog.Input) { in.TailLines = ptr(1) },
			[]reply{ok(broken, at(1700, "a")+at(2700, "b")), ok(hanging, at(2700, "b"))},
			[]podlog.LogRequest{{Tail: ptr(3)}, {Tail: ptr(6)}, {Follow: true, Tail: ptr(6 + tailSlack), Since: start.Add(time.Second)},
				{Follow: true, Since: start.Add(2 * time.Second)}},
		},
		{
			"from the beginning when there was no line",
			func(in *podlog.Input) { in.TailLines = ptr(5) },
			[]reply{ok(broken, ""), ok(hanging, "")},
			[]podlog.LogRequest{{Tail: ptr(7)}, {Tail: ptr(49)}, {Follow: true}, {Follow: true}},
		},
		{
			"since",
			func(in *podlog.Input) { in.Since = ptr(start.Add(1500 * time.Millisecond)) },
			[]reply{ok(broken, at(1000, "a")), ok(hanging, "")},
			[]podlog.LogRequest{
				{Follow: true, Since: start.Add(1500 * time.Millisecond)}, {Follow: true, Since: start.Add(1500 * time.Millisecond)},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := podInput()
				test.in(&in)
				source := newFakeSource(replies(map[string][]reply{"web/app": test.log}), pods(pod("web", running("1"))))
				startStream(t, source, in)
				elapse(time.Minute)
				source.mu.Lock()
				defer source.mu.Unlock()
				equal := func(a, b podlog.LogRequest) bool {
					return a.Follow == b.Follow && a.Since.Equal(b.Since) && reflect.DeepEqual(a.Tail, b.Tail)
				}
				if !slices.EqualFunc(source.requests, test.want, equal) {
					t.Errorf("got %+v, want %+v", source.requests, test.want)
				}
			})
		})
	}
}

func TestAStreamOfAJobWaitsForItsPodsAndEndsWithIt(t *testing.T) {
	job := podlog.Input{Namespace: "default", Job: ptr("copy"), Follow: true}
	log := replies(map[string][]reply{"web/app": {ok(text, at(0, "a"))}, "web-2/app": {ok(text, at(1, "b"))}})

	t.Run("no pod for too long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			st := startStream(t, newFakeSource(log, podlog.Snapshot{Empty: "it is suspended"}), job)
			got, err := readAll(t, st)
			if usererr.CodeOf(err) != usererr.Timeout || !strings.Contains(err.Error(), "it is suspended") {
				t.Errorf("ended with %v", err)
			}
			if waited := time.Since(begin); waited != podlog.JobWait {
				t.Errorf("waited %v", waited)
			}
			if !slices.Equal(got.notices, []string{"WAITING stream: it is suspended"}) {
				t.Errorf("notices: %q", got.notices)
			}
		})
	})
	t.Run("to its end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			source := newFakeSource(log, podlog.Snapshot{Empty: "no pod yet"})
			st := startStream(t, source, job)
			first := finished(pod("web", ended("1", 1, "Error")))
			second := finished(pod("web-2", ended("2", 0, "Completed")))
			go func() {
				elapse(podlog.JobWait - time.Second)
				source.snapshots <- pods(first)
				elapse(time.Hour)
				source.snapshots <- pods(first, second)
				source.snapshots <- podlog.Snapshot{Pods: []podlog.Pod{first, second}, Final: true}
			}()
			wantEvents(t, st, []string{"web/app: a", "web-2/app: b"}, []string{"WAITING stream: no pod yet", started,
				"ENDED web/app: exit code 1 (Error)", "STARTED web-2/app: log opened",
				"ENDED web-2/app: exit code 0 (Completed)"})
		})
	})
	t.Run("what there is now", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			in := job
			in.Follow = false
			st := startStream(t, newFakeSource(log, podlog.Snapshot{Empty: "no pod yet"}, pods(pod("web", running("1")))), in)
			wantEvents(t, st, []string{"web/app: a"}, []string{"WAITING stream: no pod yet", started})
		})
	})
	t.Run("finished and its pods gone", func(t *testing.T) {
		_, err := newTestStreamer(newFakeSource(log, podlog.Snapshot{Final: true})).Stream(t.Context(), job)
		if usererr.CodeOf(err) != usererr.NotFound {
			t.Errorf("got %v", err)
		}
	})
}

func TestSelectorFollowsPodsAsTheyComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := newFakeSource(replies(map[string][]reply{
			"web/app": {ok(text, at(0, "a"))}, "web-2/app": {ok(hanging, at(1, "b"))},
		}), podlog.Snapshot{Empty: "no pod matches"})
		st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("app=web"), Follow: true})
		var got events
		last := ""
		next := func() {
			t.Helper()
			batch, err := st.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got.add(batch)
			last = batch.Cursor
		}
		next()
		source.snapshots <- pods(pod("web", running("1")), pod("web-2", running("2")))
		next()
		source.snapshots <- pods(pod("web-2", running("2")))
		next()
		source.snapshots <- pods(pod("web-2", running("2")), pod("web-3", podlog.Container{Name: "app", Waiting: "Pulling"}))
		next()
		if want := []string{"web/app: a", "web-2/app: b"}; !slices.Equal(got.lines, want) {
			t.Errorf("lines: %q", got.lines)
		}
		slices.Sort(got.notices)
		want := []string{"ENDED web/app: its pod was deleted", unread, "STARTED web-2/app: log opened", started,
			"WAITING stream: no pod matches", "WAITING web-3/app: Pulling"}
		if !slices.Equal(got.notices, want) {
			t.Errorf("notices: %q", got.notices)
		}
		if n := len(progressOf(t, last)); n != 2 {
			t.Errorf("cursor has %d containers, want those of the two pods that are still there", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if batch, err := st.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v from a stream without pods that change", batch, err)
		}
	})
}

func TestAStreamThatCannotStartSaysWhy(t *testing.T) {
	manyRunning := podOf("web", podlog.MaxOpenLogs+1, podlog.Run{ID: "1", Running: true})
	tooMany := podOf("web", podlog.MaxContainers+1, podlog.Run{ID: "1"})
	forbidden := usererr.New(usererr.Forbidden, "no")
	for _, test := range []struct {
		name   string
		source *fakeSource
		in     func(*podlog.Input)
		code   usererr.Code
		says   string
	}{
		{"no such pod", newFakeSource(nil, pods()), nil, usererr.NotFound, "no pod web in namespace default"},
		{"no such container", newFakeSource(nil, pods(pod("web", running("1")))),
			func(in *podlog.Input) { in.Container = ptr("db") }, usererr.NotFound, "it has app"},
		{"no such container in any pod", newFakeSource(nil, pods(pod("web", running("1")), pod("web-2", running("2")))),
			func(in *podlog.Input) { in.Pod, in.Selector, in.Container = nil, ptr("a=b"), ptr("db") }, usererr.NotFound, "none of the 2"},
		{"no previous run", newFakeSource(nil, pods(pod("web", running("1")))),
			func(in *podlog.Input) { in.Previous = true }, usererr.NotFound, "no previous log"},
		{"too many running containers", newFakeSource(nil, pods(manyRunning)), nil, usererr.LimitExceeded, "51 containers run"},
		{"too many containers", newFakeSource(nil, pods(tooMany)), nil, usererr.LimitExceeded, "1001 containers"},
		{"source refuses", &fakeSource{startErr: forbidden}, nil, usererr.Forbidden, "no"},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := podInput()
			if test.in != nil {
				test.in(&in)
			}
			_, err := newTestStreamer(test.source).Stream(t.Context(), in)
			if usererr.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestALogThatMayNotBeReadIsNotToldAsStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := usererr.New(usererr.Forbidden, "no right")
		source := newFakeSource(func(podlog.LogRequest) (io.ReadCloser, error) { return nil, refused }, pods(pod("web", running("1"))))
		got, err := readAll(t, startStream(t, source, podInput()))
		if !errors.Is(err, refused) || len(got.notices) > 0 {
			t.Errorf("got %q, %v", got.notices, err)
		}
	})
}

func TestThePreviousRunIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		restarted := running("2")
		restarted.Previous = podlog.Run{ID: "1", ExitCode: 1}
		source := newFakeSource(func(req podlog.LogRequest) (io.ReadCloser, error) {
			if !req.Previous || req.Follow {
				return nil, errors.New("expected a request for the previous log")
			}
			return text(at(0, "a")), nil
		}, pods(pod("web", restarted), pod("web-2", running("3"))))
		st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("a=b"), Previous: true, Follow: true})
		got, err := readAll(t, st)
		slices.Sort(got.notices)
		want := []string{"ENDED web/app: exit code 1", started, "WAITING web-2/app: it has no previous run"}
		if err != nil || !slices.Equal(got.lines, []string{"web/app: a"}) || !slices.Equal(got.notices, want) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestAnUnreadableLogEndsOnlyAStreamOfItsPod(t *testing.T) {
	done := pods(finished(pod("web", ended("1", 0, ""))))
	for _, test := range []struct {
		name    string
		failure error
		code    usererr.Code
	}{
		{"forbidden", usererr.New(usererr.Forbidden, "no"), usererr.Forbidden},
		{"node does not answer", errors.New("connection refused"), usererr.Unavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := startStream(t, newFakeSource(replies(map[string][]reply{"web/app": {fails(test.failure)}}), done), podInput())
				if _, err := readAll(t, st); usererr.CodeOf(err) != test.code {
					t.Errorf("got %v", err)
				}
			})
		})
	}
	t.Run("one of many", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			done := pods(finished(pod("web", ended("1", 0, ""))), finished(pod("web-2", ended("2", 0, ""))))
			source := newFakeSource(replies(map[string][]reply{
				"web/app": {fails(errors.New("connection refused"))}, "web-2/app": {ok(text, at(0, "a"))},
			}), done)
			st := startStream(t, source, podlog.Input{Namespace: "default", Selector: ptr("a=b")})
			got, err := readAll(t, st)
			if err != nil || !slices.Equal(got.lines, []string{"web-2/app: a"}) {
				t.Errorf("got %q, %v", got, err)
			}
			if !slices.ContainsFunc(got.notices, func(n string) bool { return strings.Contains(n, "could not be read") }) {
				t.Errorf("notices: %q", got.notices)
			}
		})
	})
}

func TestFiltersSelectLines(t *testing.T) {
	log := replies(map[string][]reply{"web/app": {ok(text, at(0, "GET /a 200")+at(1, "GET /b 500")+at(2, "GET /c 404"))}})
	for _, test := range []struct {
		name             string
		include, exclude *string
		want             []string
	}{
		{"include", ptr(" [45]..$"), nil, []string{"web/app: GET /b 500", "web/app: GET /c 404"}},
		{"exclude", nil, ptr("/b"), []string{"web/app: GET /a 200", "web/app: GET /c 404"}},
		{"both", ptr(" [45]..$"), ptr("/b"), []string{"web/app: GET /c 404"}},
		{"none left", ptr("POST"), nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := podInput()
			in.Include, in.Exclude = test.include, test.exclude
			st := startStream(t, newFakeSource(log, pods(finished(pod("web", ended("1", 0, "Completed"))))), in)
			wantEvents(t, st, test.want, []string{started, completed})
		})
	}
}
