package graphqlhttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// rows is JSON like that of a list: long, and of which gzip leaves a tenth.
func rows(size int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"data":{"rows":[`)
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"nginx-1-27-%08x","phase":"RUNNING","bytes":%d,`, uint32(i)*2654435761, i*7919)
		b.WriteString(`"image":{"registry":"registry.example.com","repository":"library/nginx","tag":"1.27"}}`)
	}
	b.WriteString("]}}")
	return b.Bytes()
}

var sizes = []struct {
	name  string
	bytes int
}{{"100KB", 100 << 10}, {"1MB", 1 << 20}}

const (
	benchQuery  = `{"operationName":"Active","variables":{"first":100,"namespace":"pullwatch"},"query":"body"}`
	benchRepeat = `{"operationName":"Active","variables":{"first":100,"namespace":"pullwatch"},"query":"repeat"}`
)

// BenchmarkReply compares a kept response with a plain handler that writes the same bytes, over one machine's own
// network.
func BenchmarkReply(b *testing.B) {
	for _, size := range sizes {
		text := rows(size.bytes)
		s := newScript()
		s.body = NewBody(text)
		transport := New(Options{})
		for _, handler := range []struct {
			name, query string
			http.HandlerFunc
		}{
			{"plain", benchQuery, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header()["Content-Length"] = s.body.plain.length
				_, _ = w.Write(text)
			}},
			{"replied", benchQuery, func(w http.ResponseWriter, r *http.Request) { transport.Do(w, r, s) }},
			{"repeated", benchRepeat, func(w http.ResponseWriter, r *http.Request) { transport.Do(w, r, s) }},
		} {
			b.Run(size.name+"/"+handler.name, func(b *testing.B) {
				benchmarkServer(b, handler.HandlerFunc, handler.query, len(text))
			})
		}
	}
}

func benchmarkServer(b *testing.B, handler http.HandlerFunc, query string, want int) {
	server := httptest.NewServer(handler)
	defer server.Close()
	// As long as a query that asks for all fields.
	body := strings.Replace(query, "{", "{"+strings.Repeat(" ", 500-len(query)), 1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		transport := &http.Transport{DisableCompression: true}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		buffer := make([]byte, 64<<10)
		for pb.Next() {
			response, err := client.Post(server.URL, typeJSON, strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, buffer)
			response.Body.Close()
			if err != nil || int(n) != want {
				b.Errorf("%d bytes, %v", n, err)
				return
			}
		}
	})
}

func BenchmarkParseBody(b *testing.B) {
	query := "query Active($first: Int!) { activePulls(first: $first) { " + strings.Repeat("id phase message ", 22) + "} }"
	body := []byte(`{"operationName":"Active","variables":{"first":100},"query":"` + query + `"}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, refused := parseBody(body, nil); refused != nil {
			b.Fatal(refused.message)
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	text := rows(100 << 10)
	b.SetBytes(int64(len(text)))
	b.ReportMetric(float64(len(text))/float64(len(compress(text))), "ratio")
	for b.Loop() {
		compress(text)
	}
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkDo is what this package costs without the network: all but the operation itself.
func BenchmarkDo(b *testing.B) {
	b.Run("replied", func(b *testing.B) { benchmarkDo(b, benchQuery) })
	b.Run("repeated", func(b *testing.B) { benchmarkDo(b, benchRepeat) })
}

func benchmarkDo(b *testing.B, query string) {
	s := newScript()
	s.body = NewBody(rows(100 << 10))
	transport := New(Options{})
	body := strings.NewReader(query)
	request := httptest.NewRequest(http.MethodPost, "/", nil)
	request.Header.Set("Content-Type", typeJSON)
	w := &discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(query)
		request.Body = io.NopCloser(body)
		clear(w.header)
		transport.Do(w, request, s)
	}
}
