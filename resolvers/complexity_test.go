package resolvers

import (
	"testing"

	"github.com/99designs/gqlgen/complexity"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

func TestAClientCanAlwaysAskForAWholeList(t *testing.T) {
	schema := NewSchema(&Resolver{})
	const reference = "{ __typename name registry repository tag digest }"
	const pull = `{ __typename id image ` + reference + ` destination ` + reference + ` phase message held
		progress { __typename percent bytesDone bytesTotal bytesPerSecond secondsLeft } attempts
		failure { __typename reason message remedy logTail } retryOf createdAt startedAt finishedAt updatedAt log { __typename namespace job container } revision }`
	allowed := func(query string, active int) bool {
		t.Helper()
		document, err := gqlparser.LoadQueryWithRules(schema.Schema(), query, rules.NewDefaultRules())
		if err != nil {
			t.Fatal(err)
		}
		sum := complexity.Calculate(t.Context(), schema, document.Operations[0], nil)
		cost, most := Complexity(sum, active)
		return cost <= most
	}
	for _, active := range []int{0, 100, 1_000, 10_000, 100_000} {
		if !allowed("{ activePulls "+pull+" }", active) {
			t.Errorf("%d active pulls cannot be asked for", active)
		}
		if !allowed("{ activePulls { id } failedPulls(limit: 500) "+pull+" }", active) {
			t.Errorf("all failed pulls cannot be asked for beside the ids of %d active ones", active)
		}
	}
	if allowed("{ a: activePulls "+pull+" b: activePulls "+pull+" c: activePulls "+pull+" }", 10_000) {
		t.Error("10,000 pulls can be asked for three times at once")
	}
	if allowed("{ failedPulls(limit: 500) { failure { a: logTail b: logTail c: logTail d: logTail e: logTail f: logTail } } }", 0) {
		t.Error("the lines of a log do not count")
	}
}
