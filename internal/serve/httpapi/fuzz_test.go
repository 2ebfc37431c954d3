package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
	"pullwatch/internal/pull"
)

// FuzzHost checks that no other host name is taken for this machine's.
func FuzzHost(f *testing.F) {
	for _, host := range []string{
		"localhost", "localhost:8080", "127.1.2.3:80", "[::1]:80", "::1", "dash.example", "evil.example", "", "localhost.evil.example",
		"evil.example:localhost", "[localhost]", "localhost:80:80", "127.0.0.1.evil.example", "[::ffff:127.0.0.1]", "0.0.0.0", "user@localhost",
	} {
		f.Add(host)
	}
	passed := false
	handler := requireHost(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }), []string{"https://dash.example"})
	passes := func(t *testing.T, host string) bool {
		passed = false
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, &http.Request{Host: host})
		if !passed && (answer.Code != http.StatusMisdirectedRequest || !json.Valid(answer.Body.Bytes())) {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
		return passed
	}
	f.Fuzz(func(t *testing.T, host string) {
		name := host
		if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.Trim(host[i+1:], "0123456789") == "" && !strings.HasSuffix(host[:i], ":") {
			name = host[:i]
		}
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
		ip, err := netip.ParseAddr(name)
		own := err == nil && ip.Unmap().IsLoopback()
		if passes(t, host) && !own && name != "localhost" && name != "dash.example" {
			t.Errorf("%q passes", host)
		}
		if !strings.ContainsAny(host, ":[]") && passes(t, host) != passes(t, host+":8080") {
			t.Errorf("%q is another one with a port", host)
		}
	})
}

// FuzzOrigin checks that no page of another host is taken for one of this server's.
func FuzzOrigin(f *testing.F) {
	for _, c := range []struct{ origin, host string }{
		{"", "localhost"}, {"null", ""}, {"null", "null"}, {"http://localhost:8080", "localhost:8080"}, {"http://localhost:8080", "localhost"},
		{"https://dash.example", "localhost"}, {"https://dash.example.evil", "dash.example"}, {"http://LOCALHOST", "localhost"},
		{"http://evil.example", "localhost@evil.example"}, {"http://[::1]:80", "[::1]:80"}, {"http:", ""}, {"file://", ""},
	} {
		f.Add(c.origin, c.host)
	}
	f.Fuzz(func(t *testing.T, origin, host string) {
		r := &http.Request{Host: host, Header: http.Header{"Origin": {origin}}}
		_, authority, _ := strings.Cut(origin, "//")
		if strings.ContainsAny(authority, "@/?#\\%") {
			return // no browser sends that
		}
		own := authority != "" && strings.EqualFold(authority, host)
		if (&origins{allowed: []string{"https://dash.example"}}).allow(r) && origin != "" && origin != "https://dash.example" && !own {
			t.Errorf("%q is allowed at %q", origin, host)
		}
	})
}

// FuzzHeaderMemory checks that a header counts the same whatever the pieces that it comes in, that a body in the same piece
// does not count, and that all memory is given back.
func FuzzHeaderMemory(f *testing.F) {
	const request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
	f.Add([]byte(request+strings.Repeat("\n", 9)), []byte{byte(len(request)) - 2})
	f.Add([]byte(request), []byte{1, 1, 1, 1, 255})
	f.Add([]byte(strings.ReplaceAll(request, "\r", "")+"{}"), []byte{7})
	f.Add([]byte("GET / HTTP/1.1\r\n"+strings.Repeat("a:b\r\n", 1000)+"\r\n"), []byte{250, 250, 250})
	server, client := connected(f)
	const total = 1 << 30
	memory := budget.New(total, prometheus.NewRegistry())
	f.Fuzz(func(t *testing.T, text, pieces []byte) {
		end, lines := headerEnd(text)
		if end == 0 || len(text) > 32<<10 {
			return
		}
		c := &clientConn{TCPConn: server, memory: memory, caller: "client"}
		c.reading.Store(true)
		if _, err := client.Write(text); err != nil {
			t.Fatal(err)
		}
		read := 0
		for i := 0; read < end; i++ { // net/http begins to answer when it has the header
			size := 4096
			if i < len(pieces) {
				size = int(pieces[i]) + 1
			}
			n, err := c.Read(make([]byte, min(size, len(text)-read)))
			if err != nil {
				t.Fatal(err)
			}
			read += n
		}
		if want := 2*end + bytesPerLine*lines; c.header != want {
			t.Errorf("%d bytes are counted for a header of %d bytes in %d lines; want %d", c.header, end, lines, want)
		}
		if missing := c.header - headerAllowance; c.headerTaken < missing || c.headerTaken >= max(missing, 1)+headerStep {
			t.Errorf("%d bytes are taken for a header that counts as %d", c.headerTaken, c.header)
		}
		trackState(c, http.StateActive)
		for read < len(text) {
			n, err := c.Read(make([]byte, len(text)-read))
			if err != nil {
				t.Fatal(err)
			}
			read += n
		}
		trackState(c, http.StateIdle)
		if c.header != 0 || c.headerTaken != 0 {
			t.Errorf("the next header begins with %d bytes, %d of them taken", c.header, c.headerTaken)
		}
		if err := memory.Take("", budget.Requests, total); err != nil {
			t.Fatalf("not all was given back: %v", err)
		}
		memory.Give("", budget.Requests, total)
	})
}

// connected returns both ends of a connection.
func connected(f *testing.F) (server, client *net.TCPConn) {
	f.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	defer listener.Close()
	dialed, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { dialed.Close() })
	accepted, err := listener.Accept()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { accepted.Close() })
	return accepted.(*net.TCPConn), dialed.(*net.TCPConn)
}

// headerEnd returns where the header of a request ends and how many lines it has, the empty one included. It returns 0 if
// net/http would not read so far.
func headerEnd(text []byte) (end, lines int) {
	for line := range strings.Lines(string(text)) {
		end += len(line)
		lines++
		switch {
		case line == "\n", line == "\r\n":
			if lines == 1 {
				return 0, 0
			}
			return end, lines
		case len(line) <= 2:
			return 0, 0
		}
	}
	return 0, 0
}

// inTime is a client that reads what is written to it.
type inTime struct{ *httptest.ResponseRecorder }

func (inTime) SetWriteDeadline(time.Time) error { return nil }

// FuzzRequest sends any document with any variables to a whole server. There must be no internal error, the client must be
// able to read the response, and all memory must be given back.
func FuzzRequest(f *testing.F) {
	for _, c := range []struct{ document, variables string }{
		{"{activePulls{id phase image{name}}}", "null"}, {introspection, "{}"}, {everything, `{"id":"a"}`},
		{"query($n:Int!){failedPulls(limit:$n){id}}", `{"n":1.5}`}, {"query($n:Int){failedPulls(limit:$n){id}}", `{"n":null}`},
		{"mutation($i:StartPullsInput!){startPulls(input:$i){results{image error{code}}}}", `{"i":{"images":["a","b"],"destination":null}}`},
		{"mutation($i:[String!]!){startPulls(input:{images:$i}){results{image}}}", `{"i":"a"}`}, {"mutation{cancelPull(id:1){id}}", ""},
		{"subscription($p:PodLogsInput!){podLogs(input:$p){cursor}}", `{"p":{"namespace":"a","pod":"b","since":"2026-01-02T03:04:05Z"}}`},
		{"subscription($ids:[ID!]){pullJobUpdated(ids:$ids,after:\"a.1\"){id}}", `{"ids":[1,"a",null]}`},
		{`subscription{pullJobUpdated(ids:["a"]){id phase revision}}`, "{}"},
		{"query a($b:Boolean!){...f @include(if:$b)}fragment f on Query{pullJob(id:\"\"){id}}query b{__typename}", `{"b":true}`},
		{"{a:activePulls{id @skip(if:true)} a:activePulls{phase}}", `{"x":{"y":[1e99]}}`}, {"{pullJob(id:{a:1}){id}}", `{`},
		{"query($x:[[Int]]=[[1]]){failedPulls(limit:$x){id}}", `{"x":[1,[2]]}`}, {`{__type(name:"PullJob"){fields{name}}}`, "{}"},
	} {
		f.Add(c.document, c.variables)
	}
	const total = 1 << 30
	s, server := newServed(testLimits, total)
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	job := &pull.State{ID: "a", Phase: pull.Queued, CreatedAt: at, UpdatedAt: at}
	s.backend.active = func() ([]*pull.State, error) { return []*pull.State{job}, nil }
	s.backend.Publish(job)
	f.Fuzz(func(t *testing.T, document, variables string) {
		name, _ := json.Marshal(document)
		if variables == "" || !utf8.ValidString(variables) {
			variables = "null"
		}
		body := `{"query":` + string(name) + `,"variables":` + variables + `}`
		// The client reads a stream for a moment only: subscriptions do not end by themselves.
		moment, leave := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer leave()
		for accept, ctx := range map[string]context.Context{
			"application/json": t.Context(), "text/event-stream": moment,
			"multipart/mixed;subscriptionSpec=1.0, application/json": moment,
		} {
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/graphql", strings.NewReader(body))
			r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {accept}}
			answer := inTime{httptest.NewRecorder()}
			server.handler.ServeHTTP(answer, r)
			text := answer.Body.String()
			results := []string{text}
			if strings.HasPrefix(answer.Header().Get("Content-Type"), "text/event-stream") {
				results = nil
				for line := range strings.SplitSeq(text, "\n") {
					if data, ok := strings.CutPrefix(line, "data: "); ok {
						results = append(results, data)
					}
				}
			}
			if strings.HasPrefix(answer.Header().Get("Content-Type"), "multipart/mixed") {
				results = nil
				parts := multipart.NewReader(answer.Body, "graphql")
				for p, err := parts.NextPart(); err == nil; p, err = parts.NextPart() {
					result, err := io.ReadAll(p)
					if err != nil {
						t.Errorf("%v: %s", err, text)
					}
					results = append(results, string(result))
				}
			}
			for _, result := range results {
				if !utf8.ValidString(result) || !json.Valid([]byte(result)) {
					t.Errorf("%d: %s", answer.Code, text)
				}
			}
			if strings.Contains(text, `"extensions":{"code":"INTERNAL"`) {
				t.Errorf("%s; %q", text, s.log.all())
			}
		}
		if err := server.options.Memory.Take("", budget.Requests, total); err != nil {
			t.Fatalf("not all memory was given back: %v", err)
		}
		server.options.Memory.Give("", budget.Requests, total)
	})
}
