package httpapi

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/99designs/gqlgen/complexity"
	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"golang.org/x/sync/singleflight"

	"pullwatch/lru"
	"pullwatch/resolvers"
	"pullwatch/usererr"
)

const (
	// knownDocuments bounds the documents that need not be parsed again, in bytes as bytesPerByte estimates them.
	knownDocuments = 32 << 20
	// bytesPerByte is what a parsed document takes for each byte of its text at most; most take a quarter of that.
	bytesPerByte = 128
	// maxWaiting bounds the documents that wait to be parsed, in bytes: a second's work at the very least.
	maxWaiting = 100 * maxDocument
	// maxErrors is how many mistakes of a document are told: each can cost as much as the document is long.
	maxErrors = 20
)

// documents parses and validates what clients send, and knows those that it has seen. Those that it has not seen are
// parsed by half of the processors at most, so that a flood of them slows down nobody else.
type documents struct {
	schema        graphql.ExecutableSchema
	introspection bool
	activePulls   func() int
	known         *lru.Cache[string, *document]
	// unknown holds the documents that are being parsed, by their text.
	unknown singleflight.Group
	parsing chan struct{}
	waiting atomic.Int64 // bytes
}

// document is one that is valid and within all limits.
type document struct {
	*ast.QueryDocument
	// complexities are those of the operations that have no variables: they are the same each time.
	complexities map[*ast.OperationDefinition]int
}

func newDocuments(schema graphql.ExecutableSchema, introspection bool, activePulls func() int) *documents {
	return &documents{
		schema: schema, introspection: introspection, activePulls: activePulls,
		known:   lru.New[string, *document](knownDocuments),
		parsing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
}

// find returns the document of a text.
func (d *documents) find(text string) (*document, gqlerror.List) {
	if known, ok := d.known.Get(text); ok {
		return known, nil
	}
	if len(text) > maxDocument {
		return nil, exceeded("the document has %d bytes; it may have %d", len(text), maxDocument)
	}
	found, err, _ := d.unknown.Do(text, func() (any, error) {
		learned, errs := d.learn(text)
		if errs != nil {
			return nil, errs
		}
		return learned, nil
	})
	if errs, ok := err.(gqlerror.List); ok {
		return nil, copies(errs)
	}
	return found.(*document), nil
}

// copies returns errors for one of several callers: gqlgen adds to what it gets.
func copies(errs gqlerror.List) gqlerror.List {
	own := make(gqlerror.List, len(errs))
	for i, err := range errs {
		own[i] = new(*err)
	}
	return own
}

// learn makes a document of a text that is not known, and keeps it.
func (d *documents) learn(text string) (*document, gqlerror.List) {
	size := int64(len(text))
	defer d.waiting.Add(-size)
	if d.waiting.Add(size) > maxWaiting {
		return nil, refusal(usererr.Unavailable,
			"too many documents that the server does not know wait to be parsed; try again in a moment")
	}
	d.parsing <- struct{}{}
	defer func() { <-d.parsing }()
	parsed, errs := d.parse(text)
	if errs != nil {
		return nil, errs
	}
	learned := &document{parsed, map[*ast.OperationDefinition]int{}}
	for _, operation := range parsed.Operations {
		if len(operation.VariableDefinitions) == 0 {
			learned.complexities[operation] = complexity.Calculate(context.Background(), d.schema, operation, nil)
		}
	}
	d.known.Add(text, learned, bytesPerByte*len(text))
	return learned, nil
}

// checkComplexity refuses an operation of the document that would take too much to execute.
func (d *documents) checkComplexity(ctx context.Context, of *document, o *graphql.OperationContext) gqlerror.List {
	sum, known := of.complexities[o.Operation]
	if !known {
		sum = complexity.Calculate(ctx, d.schema, o.Operation, o.Variables)
	}
	if cost, allowed := resolvers.Complexity(sum, d.activePulls()); cost > allowed {
		return exceeded("the operation has a complexity of %d; it may have %d: ask for fewer fields, or for a list fewer times", cost, allowed)
	}
	return nil
}

func (d *documents) parse(text string) (*ast.QueryDocument, gqlerror.List) {
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens)
	if err != nil {
		err := gqlerror.WrapIfUnwrapped(err)
		if len(err.Locations) == 0 { // the parser says of all other mistakes where they are
			return nil, exceeded("the document has more than %d tokens", maxTokens)
		}
		return nil, gqlerror.List{err}
	}
	if len(parsed.Operations) == 0 {
		return nil, refusal(usererr.BadInput, "the document has no operation")
	}
	if errs := checkDocument(parsed, d.introspection); errs != nil {
		return nil, errs
	}
	errs := validator.ValidateWithRules(d.schema.Schema(), parsed, rules.NewDefaultRules())
	for i, err := range errs {
		if err.Rule == rules.MaxIntrospectionDepth.Name {
			errs[i] = exceeded("an introspection may nest the lists of types and fields two deep")[0]
		}
	}
	if len(errs) > 0 {
		return nil, errs[:min(len(errs), maxErrors)]
	}
	return parsed, nil
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
