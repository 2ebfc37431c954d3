package render_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"

	"pullwatch/graph"
	"pullwatch/internal/podlog"
	"pullwatch/internal/serve/render"
	"pullwatch/resolvers"
)

// oneBatch are resolvers whose streams of logs have one batch.
type oneBatch struct {
	*resolvers.Resolver
	batch *podlog.Batch
	// endless streams do not end with it.
	endless bool
	// taken is how many streams were taken by a Renderer.
	taken int
}

func (r *oneBatch) Subscription() graph.SubscriptionResolver {
	return batchSubscriptions{r.Resolver.Subscription(), r}
}

type batchSubscriptions struct {
	graph.SubscriptionResolver
	*oneBatch
}

func (r batchSubscriptions) PodLogs(ctx context.Context, _ podlog.Input) (<-chan *podlog.Batch, error) {
	batches := render.Logs(ctx, &oneBatchStream{oneBatch: r.oneBatch})
	if batches == nil {
		r.taken++
	}
	return batches, nil
}

// oneBatchStream is a stream of oneBatch.
type oneBatchStream struct {
	*oneBatch
	read bool
}

func (s *oneBatchStream) Next(ctx context.Context) (*podlog.Batch, error) {
	switch {
	case !s.read:
		s.read = true
		return s.batch, nil
	case s.endless:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, io.EOF
}

func (s *oneBatchStream) Close() {}

// logServer has gqlgen answer with what batch is at the time.
func logServer() (server, *oneBatch, graphql.ExecutableSchema) {
	source := &oneBatch{Resolver: &resolvers.Resolver{}}
	schema := graph.NewExecutableSchema(graph.Config{Resolvers: source})
	return server{executor.New(schema)}, source, schema
}

// checkLogs compares what is written of a batch with what gqlgen writes, and reports whether anything is written.
func (s server) checkLogs(t *testing.T, source *oneBatch, o operation) (known bool) {
	t.Helper()
	respond, ctx := s.begin(t, t.Context(), o)
	response := respond(ctx)
	if response == nil || len(response.Errors) > 0 {
		t.Fatalf("%s %v: gqlgen answers %+v", o.document, o.variables, response)
	}
	got, known := render.AppendLogs(graphql.GetOperationContext(ctx), nil, source.batch)
	if known && string(got) != string(response.Data) {
		t.Fatalf("%s %v:\ngot  %s\nwant %s", o.document, o.variables, got, response.Data)
	}
	return known
}

func TestLogsAreWrittenAsGqlgenWritesThem(t *testing.T) {
	s, source, schema := logServer()
	w := &writer{Rand: rand.New(rand.NewPCG(1, 2)), schema: schema.Schema()}
	operations := 0
	for range 3000 {
		source.batch = w.batch()
		if s.checkLogs(t, source, w.logs()) {
			operations++
		}
	}
	if operations < 2500 {
		t.Errorf("only %d of 3000 operations were not left to gqlgen", operations)
	}
}

// logs returns a random subscription to logs.
func (w *writer) logs() operation {
	return w.operation("subscription", func() string {
		field := w.pick("", w.alias()) + `podLogs(input: {namespace: "n", pod: "p"}) ` + w.selection("PodLogBatch", 0)
		if w.IntN(4) == 0 {
			return "... on Subscription @include(if: " + w.variable("Boolean!", true) + ") { " + field + " }"
		}
		return field
	})
}

func (w *writer) batch() *podlog.Batch {
	b := &podlog.Batch{Lines: []podlog.Line{}, Notices: []podlog.Notice{}, Cursor: w.text()}
	for range w.IntN(4) {
		b.Lines = append(b.Lines, podlog.Line{
			Pod: w.text(), Container: w.text(), Message: w.text(), TruncatedBytes: w.IntN(3) * w.IntN(1000),
			Timestamp: time.Unix(w.Int64N(1<<32), []int64{0, 1, 120_000_000, 999_999_999}[w.IntN(4)]).UTC(),
		})
	}
	for range w.IntN(4) {
		n := podlog.Notice{Kind: []podlog.NoticeKind{podlog.Started, podlog.Gap}[w.IntN(2)], Message: w.text()}
		if text, count := w.text(), w.IntN(1000)-1; w.IntN(2) == 0 {
			n.Pod, n.Container, n.Count = &text, &text, &count
		}
		b.Notices = append(b.Notices, n)
	}
	return b
}

// text returns text of random length with whatever has to be escaped, or is no UTF-8, anywhere in it.
func (w *writer) text() string {
	text := []byte(strings.Repeat("äx ", w.IntN(12)))
	for range w.IntN(3) {
		if len(text) > 0 {
			text[w.IntN(len(text))] = byte(w.IntN(256))
		}
	}
	if w.IntN(2) == 0 {
		text = append(text, "\"\\\t\r\n\x00\x1f\x7f\u2028\ufffd<é>"[w.IntN(10):]...)
	}
	return string(text)
}

func TestKnownFieldsOfLogsAreWrittenWithoutGqlgen(t *testing.T) {
	plain, source, _ := logServer()
	writing, other, _ := logServer()
	writing.AroundOperations(new(render.Renderer).Logs)
	source.batch = &podlog.Batch{
		Lines: []podlog.Line{{Message: "m", Timestamp: time.Unix(1, 0)}}, Notices: []podlog.Notice{}, Cursor: "c",
	}
	other.batch = source.batch
	const input = `(input: {namespace: "n", pod: "p"})`
	for document, taken := range map[string]int{
		"subscription { podLogs" + input + " { lines { message timestamp } cursor } }": 1,
		"subscription { podLogs" + input + " { cursor @skip(if: true) } }":             0, // is left to gqlgen
	} {
		other.taken = 0
		respond, ctx := plain.begin(t, t.Context(), operation{document: document})
		want := text(t, respond(ctx))
		respond, ctx = writing.begin(t, t.Context(), operation{document: document})
		if got := text(t, respond(ctx)); got != want || other.taken != taken {
			t.Errorf("%s: got %s, want %s; %d streams were taken", document, got, want, other.taken)
		}
		if after := respond(ctx); after != nil {
			t.Errorf("%s: after the end there is %s", document, text(t, after))
		}
	}
}

func TestStreamsOfLogsEndWhenTheirClientLeaves(t *testing.T) {
	s, source, _ := logServer()
	s.AroundOperations(new(render.Renderer).Logs)
	source.batch, source.endless = &podlog.Batch{Cursor: "c"}, true
	ctx, cancel := context.WithCancel(t.Context())
	o := operation{document: `subscription { podLogs(input: {namespace: "n", pod: "p"}) { cursor } }`}
	respond, ctx := s.begin(t, ctx, o)
	respond(ctx)
	cancel()
	if after := respond(ctx); after != nil {
		t.Errorf("after the end there is %s", text(t, after))
	}
}

func TestALineWithoutATimestampDoesNotSpoilItsBatch(t *testing.T) {
	s, source, _ := logServer()
	source.batch = &podlog.Batch{Lines: []podlog.Line{{Message: "m"}}}
	respond, ctx := s.begin(t, t.Context(),
		operation{document: `subscription { podLogs(input: {namespace: "n", pod: "p"}) { lines { timestamp message } } }`})
	respond(ctx)
	got, _ := render.AppendLogs(graphql.GetOperationContext(ctx), nil, source.batch)
	if want := `{"podLogs":{"lines":[{"timestamp":"0001-01-01T00:00:00Z","message":"m"}]}}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("\"quoted\" \\ \x00\x7f\xff \u2028")
	s, source, _ := logServer()
	f.Fuzz(func(t *testing.T, text string) {
		source.batch = &podlog.Batch{Cursor: text, Lines: []podlog.Line{}, Notices: []podlog.Notice{}}
		s.checkLogs(t, source, operation{document: `subscription { podLogs(input: {namespace: "n", pod: "p"}) { cursor } }`})
	})
}

// BenchmarkLogs writes batches of lines of 200 bytes.
func BenchmarkLogs(b *testing.B) {
	const lines = 1000
	s, source, _ := logServer()
	source.batch = &podlog.Batch{Notices: []podlog.Notice{}, Cursor: "cursor"}
	for i := range lines {
		source.batch.Lines = append(source.batch.Lines, podlog.Line{
			Pod: "pod-7d9f", Container: "main", Timestamp: time.Unix(1, int64(i)).UTC(),
			Message: fmt.Sprintf("line %6d %s", i, strings.Repeat("x", 188)),
		})
	}
	o := operation{document: `subscription { podLogs(input: {namespace: "n", pod: "p"}) {
		lines { pod container timestamp message } notices { kind message } cursor } }`}
	start := func() (graphql.ResponseHandler, context.Context) { return s.begin(new(testing.T), b.Context(), o) }
	perLine := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*lines), "ns/line")
	}
	b.Run("plan", func(b *testing.B) {
		_, ctx := start()
		var text []byte
		for b.Loop() {
			text, _ = render.AppendLogs(graphql.GetOperationContext(ctx), text[:0], source.batch)
		}
		perLine(b)
	})
	b.Run("gqlgen", func(b *testing.B) {
		for b.Loop() {
			respond, ctx := start()
			respond(ctx)
		}
		perLine(b)
	})
}
