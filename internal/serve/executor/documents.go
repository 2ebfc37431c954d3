package executor

import (
	"context"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"

	"pullwatch/internal/budget"
	"pullwatch/internal/caller"
	"pullwatch/internal/serve/lru"
	"pullwatch/internal/serve/render"
	"pullwatch/internal/turns"
	"pullwatch/internal/usererr"
	"pullwatch/resolvers"
)

const (
	// bytesPerNode is what a parsed document takes in memory for each of its nodes, as documentCheck looks at them: 54 to
	// 143 were measured.
	bytesPerNode = 160
	// bytesPerDocument is what it takes besides.
	bytesPerDocument = 1000
	// parsingPerByte is what is taken for each byte of a document that waits to be parsed, or is being parsed.
	parsingPerByte = 20
	// maxErrors is how many mistakes of a document are told: each can cost as much as the document is long.
	maxErrors = 20
)

// documents parses and validates what clients send, and knows those that it has seen. Clients take turns with those that
// it has not seen, so that a flood of them slows down nobody else.
type documents struct {
	schema        graphql.ExecutableSchema
	introspection bool
	activePulls   func() int
	known         *lru.Cache[string, *document]
	turns         *turns.Turns
}

// document is one that is valid and within all limits.
type document struct {
	*ast.QueryDocument
	// complexities are those of the operations that have no variables: they are the same each time.
	complexities map[*ast.OperationDefinition]int
	// introspections are what introspection adds to that.
	introspections map[*ast.OperationDefinition]int
	// size is about what it takes in memory, in bytes.
	size int
}

func newDocuments(o Options) *documents {
	return &documents{
		schema: o.Schema, introspection: o.Introspection, activePulls: o.ActivePulls,
		known: lru.New[string, *document](o.KnownDocuments), turns: o.Turns,
	}
}

// find returns the document of a text. memory counts it until the operation has ended: the document may be forgotten
// before that.
func (d *documents) find(ctx context.Context, text string, memory *budget.Account) (*document, gqlerror.List) {
	found, errs := d.look(ctx, text, memory)
	if errs != nil {
		return nil, errs
	}
	if err := memory.Set(budget.Documents, found.size); err != nil {
		return nil, gqlerror.List{gqlerror.Wrap(err)}
	}
	return found, nil
}

// shortDocument is how long documents are that are parsed and validated at once, in bytes.
const shortDocument = 1 << 10

func (d *documents) look(ctx context.Context, text string, memory *budget.Account) (*document, gqlerror.List) {
	if known, ok := d.known.Get(text); ok {
		return known, nil
	}
	if len(text) > maxDocument {
		return nil, exceeded("the document has %d bytes; it may have %d", len(text), maxDocument)
	}
	if err := memory.Take(budget.Documents, parsingPerByte*len(text)); err != nil {
		return nil, gqlerror.List{gqlerror.Wrap(err)}
	}
	if len(text) > shortDocument {
		end, err := d.turns.Take(ctx, caller.From(ctx).Address)
		if err != nil {
			return nil, gqlerror.List{gqlerror.Wrap(err)}
		}
		defer end()
	}
	if known, ok := d.known.Get(text); ok { // by now
		return known, nil
	}
	return d.learn(text)
}

// learn makes a document of a text that is not known, and keeps it.
func (d *documents) learn(text string) (*document, gqlerror.List) {
	parsed, nodes, errs := d.parse(text)
	if errs != nil {
		return nil, errs
	}
	removeNulls(d.schema.Schema(), parsed)
	learned := &document{
		parsed, map[*ast.OperationDefinition]int{}, map[*ast.OperationDefinition]int{}, bytesPerDocument + bytesPerNode*nodes + len(text),
	}
	for _, operation := range parsed.Operations {
		if cost := introspectionComplexity(d.schema.Schema(), operation.SelectionSet); cost > 0 {
			learned.introspections[operation] = cost
		}
		if len(operation.VariableDefinitions) == 0 {
			learned.complexities[operation] = complexity.Calculate(context.Background(), d.schema, operation, nil)
		}
	}
	d.known.Add(text, learned, learned.size)
	return learned, nil
}

// checkComplexity refuses an operation of the document that would take too much to execute.
func (d *documents) checkComplexity(ctx context.Context, of *document, o *graphql.OperationContext) gqlerror.List {
	sum, known := of.complexities[o.Operation]
	if !known {
		sum = complexity.Calculate(ctx, d.schema, o.Operation, o.Variables)
	}
	introspection := of.introspections[o.Operation]
	if introspection > maxIntrospection {
		return exceeded("the introspection has a complexity of %d; it may have %d: ask for fewer fields, or for them fewer times",
			introspection, maxIntrospection)
	}
	cost, allowed := resolvers.Complexity(sum, d.activePulls())
	cost += introspection
	if cost > allowed {
		return exceeded("the operation has a complexity of %d; it may have %d: ask for fewer fields, or for a list fewer times", cost, allowed)
	}
	o.Stats.SetExtension(render.StatCost, render.Cost{Complexity: cost, Document: of.size})
	return nil
}

// parse also returns how many nodes the document has.
func (d *documents) parse(text string) (_ *ast.QueryDocument, nodes int, _ gqlerror.List) {
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil {
		err := gqlerror.WrapIfUnwrapped(err)
		if len(err.Locations) == 0 { // the parser says of all other mistakes where they are
			return nil, 0, exceeded("the document has more than %d tokens", maxTokens)
		}
		return nil, 0, gqlerror.List{err}
	}
	if len(parsed.Operations) == 0 {
		return nil, 0, refusal(usererr.BadInput, "the document has no operation")
	}
	check := newDocumentCheck(parsed)
	if errs := check.check(parsed, d.introspection); errs != nil {
		return nil, 0, errs
	}
	errs := validator.ValidateWithRules(d.schema.Schema(), parsed, rules.NewDefaultRules())
	for i, err := range errs {
		if err.Rule == rules.MaxIntrospectionDepth.Name {
			errs[i] = exceeded("an introspection may nest the lists of types and fields two deep")[0]
		}
	}
	if len(errs) > 0 {
		return nil, 0, errs[:min(len(errs), maxErrors)]
	}
	return parsed, check.steps, nil
}

// refusal returns an error for the caller as gqlgen passes it to the presenter of errors.
func refusal(code usererr.Code, format string, args ...any) gqlerror.List {
	return gqlerror.List{gqlerror.Wrap(usererr.New(code, format, args...))}
}

func exceeded(format string, args ...any) gqlerror.List {
	return refusal(usererr.LimitExceeded, format, args...)
}

type documentKey struct{}

// foundDocument is a gqlgen query cache that always has the document: the one that has been found for the request.
type foundDocument struct{}

func (foundDocument) Get(ctx context.Context, _ string) (*ast.QueryDocument, bool) {
	return ctx.Value(documentKey{}).(*document).QueryDocument, true
}

func (foundDocument) Add(context.Context, string, *ast.QueryDocument) {}

var _ graphql.Cache[*ast.QueryDocument] = foundDocument{}
