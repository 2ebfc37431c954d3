package replica

import (
	"pullwatch/internal/serve/executor"
	"pullwatch/internal/serve/httpapi"
	"pullwatch/internal/serve/render"
	"pullwatch/resolvers"
)

// NewServer returns a server of what the Replica answers. Of o, it sets what is not HTTP's alone: see the function NewServer.
func (r *Replica) NewServer(o httpapi.Options) *httpapi.Server {
	o.Ready, o.ActivePulls = r.ready.Check, r.Hub.ActiveCount
	return NewServer(r.shared, &resolvers.Resolver{Lists: r.Lists, Pulls: r.Pulls, Updates: r.updates, Logs: r.Logs}, o)
}

// NewServer returns a server of GraphQL, which root answers, that renders once what many ask for. It sets the fields of o
// that are about the execution of operations or are in s; the caller sets the others.
func NewServer(s *Shared, root *resolvers.Resolver, o httpapi.Options) *httpapi.Server {
	o.Logger, o.Metrics, o.Memory, o.Turns = s.Log, s.Metrics, s.Memory, s.Turns
	o.Schema = resolvers.NewSchema(root)
	o.Errors = executor.NewErrors(s.Log, s.Metrics)
	renderer := render.New(render.Options{
		Schema: o.Schema, Lists: root.Lists, PresentError: o.Errors.Present, Recover: o.Errors.Recover,
		Turns: s.Turns, MaxKept: s.kept(16, 64<<20), Metrics: render.NewMetrics(s.Metrics),
	})
	o.Middleware = renderer.Operation
	o.CachedDocuments = s.kept(16, 32<<20)
	return httpapi.New(o)
}
