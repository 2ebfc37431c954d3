package replica

import (
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/httpapi"
	"pullwatch/internal/serve/render"
	"pullwatch/resolvers"
)

// NewServer returns a server on top of the Replica. It sets the same fields of o as the function NewServer, and Ready and
// ActivePulls.
func (r *Replica) NewServer(o httpapi.Options) *httpapi.Server {
	o.Ready, o.ActivePulls = r.ready.Check, r.Hub.ActiveCount
	return NewServer(r.resources, &resolvers.Resolver{Lists: r.Lists, Pulls: r.Pulls, Updates: r.updates, Logs: r.Logs}, o)
}

// CheckDocument returns why the server refuses a document whatever its variables are, or nil.
func CheckDocument(introspection bool) func(text string) error {
	schema := resolvers.NewSchema(&resolvers.Resolver{}).Schema()
	return func(text string) error { return executor.CheckDocument(schema, introspection, text) }
}

// NewServer returns a server of GraphQL over HTTP, with the resolvers of root. It renders a response once for all who ask the same.
// It sets the fields of o that are about executing operations or that r has; the caller sets the others.
func NewServer(r *Resources, root *resolvers.Resolver, o httpapi.Options) *httpapi.Server {
	o.Logger, o.Metrics, o.Memory, o.Turns = r.Logger, r.Metrics, r.Memory, r.Turns
	o.Schema = resolvers.NewSchema(root)
	o.Errors = executor.NewErrors(r.Logger, r.Metrics)
	renderer := render.New(render.Options{
		Schema: o.Schema, Lists: root.Lists, PresentError: o.Errors.Present, Recover: o.Errors.Recover,
		Turns: r.Turns, MaxKept: r.kept(16, 64<<20), Metrics: render.NewMetrics(r.Metrics),
	})
	o.Middleware = renderer.Operation
	o.CachedDocuments = r.kept(16, 32<<20)
	return httpapi.New(o)
}
