// Package resolvers answers GraphQL operations. Each resolver asks one of the Resolver's fields and returns the answer.
package resolvers

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"pullwatch/cache"
	"pullwatch/graph"
	"pullwatch/internal/feed"
	"pullwatch/internal/podlog"
	"pullwatch/internal/podlog/follow"
	"pullwatch/internal/pull"
)

const (
	// maxFailed is the largest limit of failedPulls.
	maxFailed = 500
	// maxFollowed is how many pulls a subscription can name.
	maxFollowed = 1000
)

// Lists answers list queries. Resolvers do not change what it returns.
type Lists interface {
	Active(context.Context) (cache.Result, error)
	Failed(ctx context.Context, limit int) (cache.Result, error)
	// Require makes the next query show a mutation that led to this resourceVersion.
	Require(version uint64)
}

// Pulls starts, cancels, retries, holds and releases pulls, and pauses and resumes the queue in which they wait.
type Pulls interface {
	Start(context.Context, pull.StartRequest) ([]*pull.StartResult, error)
	Cancel(ctx context.Context, id string) (*pull.State, error)
	Retry(ctx context.Context, id string) (*pull.State, error)
	Hold(ctx context.Context, id string) (*pull.State, error)
	Release(ctx context.Context, id string) (*pull.State, error)
	Queue(context.Context) (*pull.Queue, error)
	PauseQueue(ctx context.Context, reason string) (*pull.Queue, error)
	ResumeQueue(context.Context) (*pull.Queue, error)
	// Find asks the cluster for a pull that Updates does not know. It returns nil when there is none.
	Find(ctx context.Context, id string) (*pull.State, error)
}

// Updates knows the latest state of each pull.
type Updates interface {
	// AwaitSync waits until the pulls in the cluster are known. It returns an error when that takes too long.
	AwaitSync(context.Context) error
	// Await waits until a reader at this position is not ahead of this replica, but only for a moment.
	Await(context.Context, pull.Position)
	// Latest returns nil when the pull is not known.
	Latest(id string) *pull.State
	Subscribe(ids []string, after pull.Position) (*feed.Subscription, error)
}

// Logs streams pod logs.
type Logs interface {
	Stream(context.Context, podlog.Input) (*follow.Stream, error)
}

// NewSchema returns the schema with the resolvers of r.
func NewSchema(r *Resolver) graphql.ExecutableSchema {
	schema := graph.NewExecutableSchema(graph.Config{Resolvers: r, Complexity: costs()})
	withoutDefer(schema.Schema().Directives)
	return schema
}

var deferred sync.Once

// withoutDefer removes a directive that gqlgen puts into every schema: no response here is sent in parts. All schemas share the map
// of directives.
func withoutDefer(directives map[string]*ast.DirectiveDefinition) {
	deferred.Do(func() { delete(directives, "defer") })
}

// Resolver is the root of all resolvers. An argument that has a default in the schema is never nil: null stands for the
// default, as package executor sees to. They return only errors that are a usererr.Error or the context's.
type Resolver struct {
	Lists   Lists
	Pulls   Pulls
	Updates Updates
	Logs    Logs
}
