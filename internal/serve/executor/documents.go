package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
	// bytesPerNode is what each node of a parsed document takes in memory. Nodes are counted by documentCheck.steps. 54 to
	// 143 bytes were measured.
	bytesPerNode = 160
	// bytesPerDocument is what a document takes in addition.
	bytesPerDocument = 1000
	// parsingPerByte is what each byte of a document takes while it is parsed or waits for its turn.
	parsingPerByte = 20
	// maxErrors is how many mistakes of a document are reported. The report of one can be as long as the document.
	maxErrors = 20
)

// documents parses, validates and caches the documents of clients. Callers take turns with documents that are not cached, so
// that a flood of them delays no other caller.
type documents struct {
	schema        graphql.ExecutableSchema
	introspection bool
	activePulls   func() int
	cache         *lru.Cache[string, *document]
	turns         *turns.Turns
}

// document is a parsed document that is valid and within all limits.
type document struct {
	*ast.QueryDocument
	// complexities are the complexities of operations without variables. They are the same for each request.
	complexities map[*ast.OperationDefinition]int
	// introspections are the complexities of introspection, which are not part of complexities.
	introspections map[*ast.OperationDefinition]int
	// size is about how many bytes of memory the document takes.
	size int
}

func newDocuments(o Options) *documents {
	return &documents{
		schema: o.Schema, introspection: o.Introspection, activePulls: o.ActivePulls,
		cache: lru.New[string, *document](o.CachedDocuments), turns: o.Turns,
	}
}

// find returns the document of a text. It takes memory for the document, because the operation may use it longer than it is
// cached.
func (d *documents) find(ctx context.Context, text string, memory *budget.Account) (*document, gqlerror.List) {
	found, errs := d.get(ctx, text, memory)
	if errs != nil {
		return nil, errs
	}
	if err := memory.Set(budget.Documents, found.size); err != nil {
		return nil, gqlerror.List{gqlerror.Wrap(err)}
	}
	return found, nil
}

// shortDocument is the longest document that is parsed without waiting for a turn, in bytes.
const shortDocument = 1 << 10

// get returns the document of a text from the cache, or parses it.
func (d *documents) get(ctx context.Context, text string, memory *budget.Account) (*document, gqlerror.List) {
	if cached, ok := d.cache.Get(text); ok {
		return cached, nil
	}
	if errs := checkLength(text); errs != nil {
		return nil, errs
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
	if cached, ok := d.cache.Get(text); ok { // since it waited
		return cached, nil
	}
	return d.add(text)
}

// add parses a text and caches the document.
func (d *documents) add(text string) (*document, gqlerror.List) {
	parsed, nodes, errs := parseDocument(d.schema.Schema(), d.introspection, text)
	if errs != nil {
		return nil, errs
	}
	removeNulls(d.schema.Schema(), parsed)
	added := &document{
		parsed, map[*ast.OperationDefinition]int{}, map[*ast.OperationDefinition]int{}, bytesPerDocument + bytesPerNode*nodes + len(text),
	}
	for _, operation := range parsed.Operations {
		if cost := introspectionComplexity(d.schema.Schema(), operation.SelectionSet); cost > 0 {
			added.introspections[operation] = cost
		}
		if len(operation.VariableDefinitions) == 0 {
			added.complexities[operation] = complexity.Calculate(context.Background(), d.schema, operation, nil)
		}
	}
	d.cache.Add(text, added, added.size)
	return added, nil
}

// checkComplexity refuses an operation whose complexity exceeds the limit. It stores the operation's render.Cost.
func (d *documents) checkComplexity(ctx context.Context, of *document, o *graphql.OperationContext) gqlerror.List {
	sum, ok := of.complexities[o.Operation]
	if !ok {
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

// CheckDocument returns why a document is refused whatever its variables are, or nil. Without introspection it may not ask for
// the schema. The error has one line.
func CheckDocument(schema *ast.Schema, introspection bool, text string) error {
	errs := checkLength(text)
	if errs == nil {
		_, _, errs = parseDocument(schema, introspection, text)
	}
	if errs == nil {
		return nil
	}
	message := strings.Join(strings.Fields(requestMessage(errs[0])), " ")
	if at := errs[0].Locations; len(at) > 0 {
		return fmt.Errorf("line %d, column %d: %s", at[0].Line, at[0].Column, message)
	}
	return errors.New(message)
}

func checkLength(text string) gqlerror.List {
	if len(text) > maxDocument {
		return exceeded("the document has %d bytes; it may have %d", len(text), maxDocument)
	}
	return nil
}

// tooDeep is how the parser says that a document nests deeper than it reads. Its errors have no kinds.
var tooDeep = fmt.Sprintf("exceeded maximum nesting depth of %d", parser.MaxNestingDepth)

// parseDocument parses and validates a text. It also returns how many nodes the document has.
func parseDocument(schema *ast.Schema, introspection bool, text string) (_ *ast.QueryDocument, nodes int, _ gqlerror.List) {
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil {
		err := gqlerror.WrapIfUnwrapped(err)
		if len(err.Locations) == 0 { // all other errors of the parser have a location
			return nil, 0, exceeded("the document has more than %d tokens", maxTokens)
		}
		if err.Message == tooDeep {
			return nil, 0, exceeded("the document has a depth of more than %d", parser.MaxNestingDepth)
		}
		return nil, 0, gqlerror.List{err}
	}
	if len(parsed.Operations) == 0 {
		return nil, 0, refusal(usererr.BadInput, "the document has no operation")
	}
	check := newDocumentCheck(parsed)
	if errs := check.check(parsed, introspection); errs != nil {
		return nil, 0, errs
	}
	errs := validator.ValidateWithRules(schema, parsed, rules.NewDefaultRules())
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

// refusal returns an error for the client, in the form in which gqlgen gives it to the error presenter.
func refusal(code usererr.Code, format string, args ...any) gqlerror.List {
	return gqlerror.List{gqlerror.Wrap(usererr.New(code, format, args...))}
}

// exceeded is refusal for a limit.
func exceeded(format string, args ...any) gqlerror.List {
	return refusal(usererr.LimitExceeded, format, args...)
}

type documentKey struct{}

// foundDocument is a query cache for gqlgen. It always returns the document that was found for the request.
type foundDocument struct{}

func (foundDocument) Get(ctx context.Context, _ string) (*ast.QueryDocument, bool) {
	return ctx.Value(documentKey{}).(*document).QueryDocument, true
}

func (foundDocument) Add(context.Context, string, *ast.QueryDocument) {}

var _ graphql.Cache[*ast.QueryDocument] = foundDocument{}
