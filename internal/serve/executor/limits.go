package executor

import (
	"math"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/usererr"
)

// Limits of a document. Each bounds a number for which parsing, validation or execution take more than linear time. Within all
// of them, the worst document takes about 50 ms (see BenchmarkWorstDocuments). The longest document that tools send, the
// introspection of GraphiQL, needs a tenth of each limit, except maxDepth.
const (
	maxDocument = 64 << 10 // bytes
	maxTokens   = 10_000
	// maxNodes bounds fields, fragments, arguments, values and directives. Those of a fragment count each time it is spread,
	// because validation and execution visit them that often.
	maxNodes = 4_000
	// maxDepth bounds how deep fields and inline fragments are nested. Introspection needs 15.
	maxDepth   = 20
	maxAliases = 200
	// maxAlias bounds an alias, in bytes. A response has it as often as the field.
	maxAlias = 100
	// maxRootFields bounds the resolvers that an operation starts.
	maxRootFields = 50
	// maxFragments bounds the definitions of fragments. Validation compares each with each.
	maxFragments = 100
	// maxComparisons bounds how often validation compares two fields that have the same name in the response.
	maxComparisons = 50_000
)

// documentCheck collects what check needs to know of a document.
type documentCheck struct {
	fragments map[string]*fragment
	// cycle is the name of a fragment that spreads itself, if any does.
	cycle       string
	introspects bool
	// alias is the longest alias.
	alias string
	// steps counts the selections and values that were visited.
	steps int
}

func newDocumentCheck(document *ast.QueryDocument) *documentCheck {
	c := &documentCheck{fragments: map[string]*fragment{}}
	for _, definition := range document.Fragments {
		if c.fragments[definition.Name] == nil {
			c.fragments[definition.Name] = &fragment{definition: definition}
		}
	}
	return c
}

// check checks a document before validation. It refuses one that exceeds a limit, that has a fragment which spreads itself, or
// that has an introspection where that is not allowed. It takes time linear in the document's length and maxNodes.
func (c *documentCheck) check(document *ast.QueryDocument, introspection bool) gqlerror.List {
	var all extent
	rootFields := 0 // of the operation that has the most
	for _, operation := range document.Operations {
		e := c.measure(operation.SelectionSet)
		e.add(c.directives(operation.Directives))
		e.add(c.variables(operation.VariableDefinitions))
		rootFields = max(rootFields, e.rootFields)
		all.add(e)
	}
	for _, definition := range document.Fragments {
		e := c.measure(definition.SelectionSet)
		e.add(c.directives(definition.Directives))
		e.add(c.variables(definition.VariableDefinition))
		all.nodes = plus(all.nodes, e.nodes)
		all.depth = max(all.depth, e.depth)
	}
	switch {
	case c.cycle != "":
		return refusal(usererr.BadInput, "the fragment %.100s spreads itself", c.cycle)
	case c.introspects && !introspection:
		return refusal(usererr.Forbidden, "introspection is switched off on this server; __typename can be asked for")
	case len(document.Fragments) > maxFragments:
		return exceeded("the document has %d fragments; it may have %d", len(document.Fragments), maxFragments)
	case all.depth > maxDepth:
		return exceeded("the document has a depth of %d; it may have %d", all.depth, maxDepth)
	case rootFields > maxRootFields:
		return exceeded("the operation has %d root fields; it may have %d", rootFields, maxRootFields)
	case all.aliases > maxAliases:
		return exceeded("the document has %d aliases; it may have %d", all.aliases, maxAliases)
	case len(c.alias) > maxAlias:
		return exceeded("the alias %.20s… has %d bytes; it may have %d", c.alias, len(c.alias), maxAlias)
	case all.nodes > maxNodes:
		return exceeded("the document has %d fields, arguments and values, counting fragments wherever they are spread; "+
			"it may have %d", all.nodes, maxNodes)
	}
	if n := c.comparisons(document); n > maxComparisons {
		return exceeded("the document has fields of one name so often in one place that there are %d pairs of them to compare; there may be %d",
			n, maxComparisons)
	}
	return nil
}

// fragment is the definition of a fragment and, once measured, its extent.
type fragment struct {
	definition          *ast.FragmentDefinition
	extent              extent
	measuring, measured bool
}

// extent is the size of a part of a document, with fragments counted at each spread.
type extent struct {
	nodes, aliases, rootFields, depth int
}

// add adds the extent of another part at the same depth.
func (e *extent) add(other extent) {
	e.nodes = plus(e.nodes, other.nodes)
	e.aliases = plus(e.aliases, other.aliases)
	e.rootFields = plus(e.rootFields, other.rootFields)
	e.depth = max(e.depth, other.depth)
}

// plus adds without overflow. Sums grow exponentially when fragments spread fragments.
func plus(a, b int) int {
	if a > math.MaxInt32-b {
		return math.MaxInt32
	}
	return a + b
}

func (c *documentCheck) measure(set ast.SelectionSet) extent {
	var total extent
	for _, selection := range set {
		c.steps++
		var e extent
		switch s := selection.(type) {
		case *ast.Field:
			e = c.measure(s.SelectionSet)
			e.depth++
			e.rootFields = 1
			if s.Alias != s.Name {
				e.aliases = plus(e.aliases, 1)
				if len(s.Alias) > len(c.alias) {
					c.alias = s.Alias
				}
			}
			c.introspects = c.introspects || s.Name == "__schema" || s.Name == "__type"
			e.add(c.arguments(s.Arguments))
			e.add(c.directives(s.Directives))
		case *ast.InlineFragment:
			e = c.measure(s.SelectionSet)
			e.depth++
			e.add(c.directives(s.Directives))
		case *ast.FragmentSpread:
			e = c.spread(s.Name)
			e.add(c.directives(s.Directives))
		}
		e.nodes = plus(e.nodes, 1)
		total.add(e)
	}
	return total
}

// spread returns the extent of a fragment. A fragment that is not defined has none: validation reports it.
func (c *documentCheck) spread(name string) extent {
	f := c.fragments[name]
	if f == nil {
		return extent{}
	}
	if f.measuring {
		c.cycle = name
	} else if !f.measured {
		f.measuring = true
		f.extent = c.measure(f.definition.SelectionSet)
		f.extent.add(c.directives(f.definition.Directives))
		f.measuring, f.measured = false, true
	}
	return f.extent
}

func (c *documentCheck) variables(definitions ast.VariableDefinitionList) extent {
	var total extent
	for _, definition := range definitions {
		total.nodes++
		total.add(c.value(definition.DefaultValue))
		total.add(c.directives(definition.Directives))
	}
	return total
}

func (c *documentCheck) directives(directives ast.DirectiveList) extent {
	var total extent
	for _, directive := range directives {
		total.nodes++
		total.add(c.arguments(directive.Arguments))
	}
	return total
}

func (c *documentCheck) arguments(arguments ast.ArgumentList) extent {
	var total extent
	for _, argument := range arguments {
		total.add(c.value(argument.Value))
	}
	return total
}

func (c *documentCheck) value(value *ast.Value) extent {
	if value == nil {
		return extent{}
	}
	c.steps++
	total := extent{nodes: 1}
	for _, child := range value.Children {
		total.add(c.value(child.Value))
	}
	return total
}
