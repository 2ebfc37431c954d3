package httpapi

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/pull"
)

// eventSource opens a stream as a browser's EventSource does. It comes back with lastEventID, unless that is empty.
func (s *served) eventSource(t *testing.T, query, variables, lastEventID string) *http.Response {
	t.Helper()
	parameters := url.Values{"query": {query}, "variables": {variables}}
	header := map[string]string{"Accept": "text/event-stream"}
	if lastEventID != "" {
		header["Last-Event-ID"] = lastEventID
	}
	return s.request(t, http.MethodGet, "/graphql?"+parameters.Encode(), "", header)
}

// idAnd returns the id of an event, and the value of a field in its data.
func idAnd(t *testing.T, event, field string) (id, value string) {
	t.Helper()
	found := regexp.MustCompile(`(?s)^event: next\nid: (\S+)\ndata: .*"` + field + `":"([^"]+)"`).FindStringSubmatch(event)
	if found == nil {
		t.Fatalf("no id or no %s: %s", field, event)
	}
	return found[1], found[2]
}

func TestABrowserThatComesBackGetsOnlyTheUpdatesThatItHasNot(t *testing.T) {
	s := serve(t)
	publish := func(id string, cluster uint64) string {
		s.backend.Publish(&pull.State{ID: id, Phase: pull.Queued, Revision: pull.Revision{Cluster: cluster}})
		return s.backend.Latest(id).RevisionID()
	}
	revisions := []string{publish("a", 1), publish("b", 2), publish("c", 3)}
	for _, test := range []struct{ rule, query, variables string }{
		{"without after", "subscription{pullJobUpdated{revision}}", ""},
		{"after in the document", `subscription{pullJobUpdated(after: "` + revisions[0] + `"){revision}}`, ""},
		{"after as a variable", "subscription($a: ID){pullJobUpdated(after: $a){revision}}", `{"a":"` + revisions[0] + `"}`},
	} {
		t.Run(test.rule, func(t *testing.T) {
			first := 1
			if test.rule == "without after" {
				first = 0
			}
			stream := bufio.NewReader(s.eventSource(t, test.query, test.variables, "").Body)
			for _, want := range revisions[first:] {
				if id, revision := idAnd(t, readEvent(t, stream), "revision"); id != want || revision != want {
					t.Errorf("id %s, revision %s; want %s", id, revision, want)
				}
			}
			again := bufio.NewReader(s.eventSource(t, test.query, test.variables, revisions[1]).Body)
			if id, _ := idAnd(t, readEvent(t, again), "revision"); id != revisions[2] {
				t.Errorf("goes on with %s behind %s", id, revisions[1])
			}
		})
	}
	t.Run("an id that never was one", func(t *testing.T) {
		text, err := io.ReadAll(s.eventSource(t, followPulls, "", "nonsense").Body)
		if err != nil || !strings.Contains(string(text), "BAD_INPUT") || !strings.HasSuffix(string(text), "id: complete\ndata:\n\n") {
			t.Errorf("%s %v: the browser must not come back with it for ever", text, err)
		}
	})
}

func TestABrowserThatFollowedPullsToTheirEndIsToldToStay(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Failed})
	const query = `subscription{pullJobUpdated(ids: ["a"]){revision}}`
	stream := bufio.NewReader(s.eventSource(t, query, "", "").Body)
	last, _ := idAnd(t, readEvent(t, stream), "revision")
	ending, err := io.ReadAll(stream)
	id, ok := strings.CutPrefix(string(ending), "event: complete\nid: ")
	id, _, _ = strings.Cut(id, "\n")
	if !ok || err != nil {
		t.Fatalf("%q %v", ending, err)
	}
	if over := s.eventSource(t, query, "", id); over.StatusCode != http.StatusNoContent {
		t.Errorf("came back after the end: %s", over.Status)
	}
	// One that lost its connection before the end gets that, and nothing twice.
	if text, err := io.ReadAll(s.eventSource(t, query, "", last).Body); err != nil || strings.Contains(string(text), "event: next") ||
		!strings.HasSuffix(string(text), string(ending)) {
		t.Errorf("%q %v", text, err)
	}
}

func TestABrowserThatComesBackGoesOnWithALog(t *testing.T) {
	s := serve(t)
	s.backend.logs = follow.New(follow.Options{
		Source: noPods{away: make(chan struct{})}, Metrics: follow.NewMetrics(s.metrics), Log: slog.New(slog.DiscardHandler),
	})
	const query = `subscription{podLogs(input:{namespace:"a",selector:"app=b"}){cursor}}`
	id, cursor := idAnd(t, readEvent(t, bufio.NewReader(s.eventSource(t, query, "", "").Body)), "cursor")
	if id != cursor {
		t.Errorf("id %s, cursor %s", id, cursor)
	}
	var asked askedLogs
	s.backend.logs = &asked
	for variables, query := range map[string]string{
		"":            query,
		"{}":          `subscription{podLogs(input:{namespace:"a",selector:"app=b",after:"old"}){cursor}}`,
		`{"a":"old"}`: `subscription($a:ID){podLogs(input:{namespace:"a",selector:"app=b",after:$a}){cursor}}`,
		`{"i":{"namespace":"a","selector":"app=b","after":"old"}}`: `subscription($i:PodLogsInput!){podLogs(input:$i){cursor}}`,
	} {
		text, err := io.ReadAll(s.eventSource(t, query, variables, cursor).Body)
		if err != nil || !strings.Contains(string(text), "NOT_FOUND") || asked.input.After == nil || *asked.input.After != cursor {
			t.Errorf("%s %s: %+v: %s %v", query, variables, asked.input, text, err)
		}
	}
}

func TestUpdatesComeInParts(t *testing.T) {
	s := serve(t)
	s.backend.Publish(&pull.State{ID: "a", Phase: pull.Failed})
	header := map[string]string{
		"Content-Type": "application/json", "Accept": `multipart/mixed;boundary="graphql";subscriptionSpec=1.0, application/json`,
	}
	answer := s.request(t, http.MethodPost, "/graphql", `{"query":"subscription{pullJobUpdated(ids: [\"a\"]){phase}}"}`, header)
	const want = "\r\n--graphql\r\nContent-Type: application/json\r\n\r\n" +
		`{"payload":{"data":{"pullJobUpdated":{"phase":"FAILED"}}}}` + "\r\n--graphql--\r\n"
	if text, err := io.ReadAll(answer.Body); string(text) != want || err != nil {
		t.Errorf("%q %v", text, err)
	}
	if n := s.counters(t, "pullwatch_sse_events_total")[""]; n != 2 {
		t.Errorf("%v parts are counted", n)
	}
	following := s.request(t, http.MethodPost, "/graphql", `{"query":"`+followPulls+`"}`, header)
	go s.stop() // serve tells its error
	text, err := io.ReadAll(following.Body)
	if err != nil || !strings.Contains(string(text), `{"payload":null,"errors":`) || !strings.HasSuffix(string(text), "\r\n--graphql--\r\n") {
		t.Errorf("%q %v: the link must learn that it is to subscribe again", text, err)
	}
}
