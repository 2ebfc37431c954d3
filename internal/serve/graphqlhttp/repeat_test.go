package graphqlhttp

import (
	"slices"
	"strings"
	"testing"
)

func TestRepeatedRequestIsNotExecutedAgain(t *testing.T) {
	c := &counter{statuses: map[int]int{}}
	s := serve(t, Options{Observer: c})
	s.body = NewBody([]byte(`{"data":{"kept":1}}`))
	long := `{"query":"repeat"` + strings.Repeat(" ", maxRepeated) + "}"
	for _, step := range []struct {
		name      string
		request   request
		forgotten bool
		executed  int64
	}{
		{name: "the first", request: post(`{"query":"repeat"}`), executed: 1},
		{name: "the same", request: post(`{"query":"repeat"}`)},
		{name: "the same in another form", request: post(`{"query":"repeat"}`, "Accept", typeResponse)},
		{name: "the same by stream", request: post(`{"query":"repeat"}`, "Accept", typeEvents), executed: 1},
		{name: "of another operation", request: post(`{"query":"repeat","operationName":"A"}`), executed: 1},
		{name: "by GET", request: get("query=repeat"), executed: 1},
		{name: "the same by GET", request: get("query=repeat")},
		{name: "the same by HEAD", request: request{method: "HEAD", query: "query=repeat"}},
		{name: "the body of one that was posted as the URL", request: get(`{"query":"repeat"}`)},
		{name: "without an answer", request: post(`{"query":"repeat"}`), forgotten: true, executed: 1},
		{name: "with an answer again", request: post(`{"query":"repeat"}`)},
		{name: "long", request: post(long), executed: 1},
		{name: "as long", request: post(long), executed: 1},
	} {
		before := s.executed.Load()
		s.forgotten.Store(step.forgotten)
		response := s.send(t, step.request)
		body := readAll(t, response.Body)
		if n := s.executed.Load() - before; n != step.executed {
			t.Errorf("%s: executed %d times, want %d", step.name, n, step.executed)
		}
		if ok := response.StatusCode == 200; ok != (step.name != "the body of one that was posted as the URL") {
			t.Errorf("%s: %d %s", step.name, response.StatusCode, body)
		} else if ok && step.request.method != "HEAD" && !strings.Contains(body, `{"data":{"kept":1}}`) && step.executed == 0 {
			t.Errorf("%s: %s", step.name, body)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if want := []string{"", "", "", "", ""}; !slices.Equal(c.repeated, want) {
		t.Errorf("repeated: %q", c.repeated)
	}
}

func TestRepeatedQueryIsNotSentTwice(t *testing.T) {
	s := serve(t, Options{})
	s.body = NewBody([]byte(`{"data":{"kept":1}}`))
	tag := s.send(t, get("query=repeat")).Header.Get("ETag")
	response := s.send(t, get("query=repeat", "If-None-Match", tag))
	if response.StatusCode != 304 || s.executed.Load() != 1 {
		t.Errorf("%d, executed %d times", response.StatusCode, s.executed.Load())
	}
}
