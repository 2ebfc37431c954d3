// Package resolvers answers GraphQL operations: each resolver asks the domain and hands on what it says.
package resolvers

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/feed"
	"pullwatch/graph"
	"pullwatch/podlog"
	"pullwatch/pull"
)

// maxFailed is the largest limit of failedPulls.
const maxFailed = 500

// Lists answers list queries. What it returns is not changed.
type Lists interface {
	Active(context.Context) ([]*pull.Job, error)
	Failed(ctx context.Context, limit int) ([]*pull.Job, error)
	// Invalidate is called after a mutation, so that the next query shows it.
	Invalidate()
}

// Pulls starts, cancels and retries pulls.
type Pulls interface {
	Start(ctx context.Context, images []string, destination *string) ([]*pull.StartResult, error)
	Cancel(ctx context.Context, id string) (*pull.Job, error)
	Retry(ctx context.Context, id string) (*pull.Job, error)
}

// Updates knows the latest state of each pull.
type Updates interface {
	// Latest returns nil when there is no such pull.
	Latest(id string) *pull.Job
	Subscribe(ids []string) (*feed.Subscription, error)
}

// Sync tells when the state of the cluster is known.
type Sync interface {
	// AwaitSync returns an error when that takes too long.
	AwaitSync(context.Context) error
}

// Logs streams pod logs.
type Logs interface {
	Stream(context.Context, podlog.Input) (*podlog.Stream, error)
}

// NewSchema returns the schema that r answers for.
func NewSchema(r *Resolver) graphql.ExecutableSchema {
	return graph.NewExecutableSchema(graph.Config{Resolvers: r, Complexity: complexity()})
}

// Resolver is the root of all resolvers. Every error that one returns is a usererr.Error or the context's.
type Resolver struct {
	Lists   Lists
	Pulls   Pulls
	Updates Updates
	Sync    Sync
	Logs    Logs
}
