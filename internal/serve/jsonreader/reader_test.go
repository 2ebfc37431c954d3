package jsonreader

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"

	"pullwatch/internal/budget"
)

// read reads a text that is the parameters of a request and nothing else.
func read(text []byte, memory *budget.Account) (*graphql.RawParams, error) {
	r := New(text, memory)
	p, _, err := r.Params()
	if err == nil && !r.End() {
		err = r.Err()
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func TestTextsThatBecomeTooMuchAreRefused(t *testing.T) {
	for _, c := range []struct {
		what, text string
		refused    bool
	}{
		{"a thousand ids", `{"variables":{"ids":[` + strings.Repeat(`"a",`, 1000) + `""]}}`, false},
		{"as many values as may be", `{"variables":{"a":[` + strings.Repeat(`0,`, MaxValues-3) + `0]}}`, false},
		{"a value more", `{"variables":{"a":[` + strings.Repeat(`0,`, MaxValues-2) + `0]}}`, true},
		{"many objects", `{"extensions":{"a":[` + strings.Repeat(`{"":0},`, 150_000) + `0]}}`, true},
		{"many members", `{"variables":{` + strings.Repeat(`"a":{},`, MaxValues) + `"b":0}}`, true},
		{"many values that nobody reads", `{"x":[` + strings.Repeat(`{"":0},`, 150_000) + `0]}`, false},
		{"deep arrays", `{"variables":{"a":` + strings.Repeat("[", MaxDepth-2) + strings.Repeat("]", MaxDepth-2) + `}}`, false},
		{"deeper arrays", `{"variables":{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}}`, true},
		{"deep arrays that nobody reads", `{"x":` + strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000) + `}`, true},
	} {
		_, err := read([]byte(c.text), nil)
		if _, limited := errors.AsType[*LimitError](err); limited != c.refused || err != nil && !limited {
			t.Errorf("%s: %v, refused should be %v", c.what, err, c.refused)
		}
	}
}

func TestWhatValuesTakeIsTakenFromTheBudget(t *testing.T) {
	for _, c := range []struct{ what, text string }{
		{"objects", `{"variables":{"a":[` + strings.Repeat(`{"":0},`, 4000) + `0]}}`},
		{"empty objects", `{"variables":{"a":[` + strings.Repeat(`{},`, 4000) + `0]}}`},
		{"arrays", `{"variables":{"a":[` + strings.Repeat(`[],`, 4000) + `0]}}`},
		{"numbers", `{"variables":{"a":[` + strings.Repeat(`0,`, 9000) + `0]}}`},
		{"strings", `{"variables":{"a":["` + strings.Repeat("a", 1<<20) + `"]}}`},
		{"members", `{"variables":{"a":{` + members(4000) + `"z":0}}}`},
	} {
		text := []byte(c.text)
		memory := budget.New(1<<30, prometheus.NewRegistry()).Open("client", 0)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := read(text, memory)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if err != nil || p == nil {
			t.Errorf("%s: %v", c.what, err)
		}
		// What is allocated is more than what is kept: arrays and maps are allocated anew as they grow.
		if held := memory.Held(budget.Requests); uint64(held) < allocated/2 {
			t.Errorf("%s: %d bytes are taken for what allocates %d", c.what, held, allocated)
		}
		small := budget.New(int64(len(text)), prometheus.NewRegistry()).Open("client", 0)
		if _, err := read(text, small); !errors.Is(err, budget.ErrShare) && !errors.Is(err, budget.ErrFull) {
			t.Errorf("%s: %v, want an error of the budget", c.what, err)
		}
	}
}

// members returns so many members with names of their own.
func members(n int) string {
	var text bytes.Buffer
	for i := range n {
		text.WriteString(`"` + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + `":0,`)
	}
	return text.String()
}
