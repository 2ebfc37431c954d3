package resolvers

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/cache"
	"pullwatch/pull"
)

// staleness is what a response tells of a list that is older than its time to live, because nothing newer can be had.
type staleness struct {
	AgeSeconds float64 `json:"ageSeconds"`
}

// staleFields collects the staleness of a response's fields, by name in the response.
type staleFields struct {
	mu     sync.Mutex
	fields map[string]staleness
}

type staleKey struct{}

// TellStale is a response middleware: it adds the extension "stale" to responses that hold stale lists.
func TellStale(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	stale := &staleFields{}
	response := next(context.WithValue(ctx, staleKey{}, stale))
	if response != nil && len(stale.fields) > 0 {
		if response.Extensions == nil {
			response.Extensions = map[string]any{}
		}
		response.Extensions["stale"] = stale.fields
	}
	return response
}

// answer returns a function that returns the pulls of a list and has the response tell of their age if they are stale.
func answer(ctx context.Context) func(cache.Result, error) ([]*pull.Job, error) {
	return func(result cache.Result, err error) ([]*pull.Job, error) {
		if stale, ok := ctx.Value(staleKey{}).(*staleFields); ok && result.Stale && err == nil {
			stale.mu.Lock()
			defer stale.mu.Unlock()
			if stale.fields == nil {
				stale.fields = map[string]staleness{}
			}
			stale.fields[graphql.GetFieldContext(ctx).Field.Alias] = staleness{result.Age.Seconds()}
		}
		return result.Jobs, err
	}
}
