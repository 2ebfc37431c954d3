package graphqlhttp

import (
	"net/http"
	"strings"
	"testing"
)

// fromBrowser is a request of an EventSource. It comes back with lastEventID, unless that is empty.
func fromBrowser(query, lastEventID string) request {
	q := get("query="+strings.ReplaceAll(query, " ", "+"), "Accept", typeEvents)
	if lastEventID != "" {
		q.header["Last-Event-ID"] = lastEventID
	}
	return q
}

func TestResultsHaveTheIDsWithWhichABrowserComesBack(t *testing.T) {
	s := serve(t, Options{})
	want := beginning + "event: next\nid: first\ndata: {\"data\":{\"n\":1}}\n\n" + next(`{"data":{"n":2}}`) +
		"event: next\nid: third\ndata: {\"data\":{\"n\":3}}\n\n" + complete
	for _, q := range []request{fromBrowser("subscription ids", ""), events("subscription ids")} {
		if got := readAll(t, s.send(t, q).Body); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}
}

func TestABrowserGoesOnBehindTheLastEventThatItGot(t *testing.T) {
	s := serve(t, Options{})
	for last, want := range map[string]string{"": `""`, "l.9~r.1.2.3": `"l.9~r.1.2.3"`} {
		if got := readAll(t, s.send(t, fromBrowser("subscription last event", last)).Body); !strings.Contains(got, "data: {\"data\":"+want+"}\n") {
			t.Errorf("%q: %s", last, got)
		}
	}
	// A client that posts chooses its arguments for each request.
	posted := events("subscription last event")
	posted.header["Last-Event-ID"] = "l.9"
	if got := readAll(t, s.send(t, posted).Body); !strings.Contains(got, `data: {"data":""}`) {
		t.Errorf("by POST: %s", got)
	}
}

func TestABrowserThatHasGotAllIsToldNotToComeBack(t *testing.T) {
	c := &counter{statuses: map[int]int{}}
	s := serve(t, Options{Observer: c})
	over := s.send(t, fromBrowser("subscription one", "complete"))
	if body := readAll(t, over.Body); over.StatusCode != http.StatusNoContent || body != "" || over.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %q", over.StatusCode, over.Header, body)
	}
	posted := events("subscription one")
	posted.header["Last-Event-ID"] = "complete"
	query := get("query=one", "Last-Event-ID", "complete")
	for _, q := range []request{posted, query} {
		if other := s.send(t, q); other.StatusCode != 200 || !strings.Contains(readAll(t, other.Body), `{"data":{"one":1}}`) {
			t.Errorf("%s: %d, though no EventSource sends that", q.method, other.StatusCode)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.statuses[http.StatusNoContent] != 1 || c.opened != 1 {
		t.Errorf("%+v", c)
	}
}

func TestABrowserComesBackOnlyAfterErrorsThatAPauseMends(t *testing.T) {
	s := serve(t, Options{})
	for code, end := range map[string]string{
		"UNAVAILABLE": interrupted, "TIMEOUT": interrupted,
		"BAD_INPUT": complete, "NOT_FOUND": complete, "FORBIDDEN": complete, "LIMIT_EXCEEDED": complete, "INTERNAL": complete, "": complete,
	} {
		refused := readAll(t, s.send(t, fromBrowser("subscription fail "+code, "")).Body)
		if want := beginning + next(says(code, "failed")) + end; refused != want {
			t.Errorf("refused with %s:\n%s\nwant:\n%s", code, refused, want)
		}
		lost := readAll(t, s.send(t, fromBrowser("subscription lost "+code, "")).Body)
		if want := beginning + next(`{"data":{"n":1}}`) + next(says(code, "lost")) + end; lost != want {
			t.Errorf("lost with %s:\n%s\nwant:\n%s", code, lost, want)
		}
	}
}
