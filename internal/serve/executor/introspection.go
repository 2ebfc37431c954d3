package executor

import (
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
)

// maxIntrospection bounds the complexity of an introspection. GraphiQL's has 7,700.
const maxIntrospection = 20_000

// introspectionComplexity returns the complexity of the introspection in a selection, which gqlgen does not count. It is about
// the number of fields in the response. The document has to be valid.
func introspectionComplexity(schema *ast.Schema, selection ast.SelectionSet) int {
	cost := 0
	for _, selected := range selection {
		switch s := selected.(type) {
		case *ast.Field:
			switch s.Name {
			case "__schema":
				cost += lengthsOf(schema).mean.cost(s.SelectionSet)
			case "__type":
				cost += lengthsOf(schema).most.cost(s.SelectionSet)
			}
		case *ast.InlineFragment:
			cost += introspectionComplexity(schema, s.SelectionSet)
		case *ast.FragmentSpread:
			cost += introspectionComplexity(schema, s.Definition.SelectionSet)
		}
	}
	return cost
}

// lengths are the lengths of the lists in an introspection, by type and field.
type lengths map[string]int

// listLengths are the lengths of a schema's lists. mean is for __schema, which shows all types: there the means add up to the
// right sum. most is for __type, which shows one type.
type listLengths struct{ mean, most lengths }

// cachedLengths are listLengths by schema. A process has few schemas.
var cachedLengths sync.Map // of *ast.Schema

func lengthsOf(schema *ast.Schema) listLengths {
	if cached, ok := cachedLengths.Load(schema); ok {
		return cached.(listLengths)
	}
	var fields, arguments, values, inputs, directiveArguments, locations count
	for _, t := range schema.Types {
		if t.Kind == ast.InputObject {
			inputs.add(len(t.Fields))
			continue
		}
		fields.add(len(t.Fields))
		values.add(len(t.EnumValues))
		for _, field := range t.Fields {
			arguments.add(len(field.Arguments))
		}
	}
	for _, d := range schema.Directives {
		directiveArguments.add(len(d.Arguments))
		locations.add(len(d.Locations))
	}
	types, directives := len(schema.Types), len(schema.Directives)
	l := listLengths{
		mean: lengths{
			"__Schema.types": types, "__Schema.directives": directives,
			"__Type.fields": fields.mean(types), "__Type.enumValues": values.mean(types), "__Type.inputFields": inputs.mean(types),
			"__Field.args": arguments.mean(fields.sum), "__Directive.args": directiveArguments.mean(directives),
			"__Directive.locations": locations.mean(directives),
		},
		most: lengths{
			"__Type.fields": fields.most, "__Type.enumValues": values.most, "__Type.inputFields": inputs.most,
			"__Field.args": arguments.most,
		},
	}
	cachedLengths.Store(schema, l)
	return l
}

// count is the sum of the lengths of some lists, and the largest.
type count struct{ sum, most int }

func (c *count) add(length int) {
	c.sum += length
	c.most = max(c.most, length)
}

// mean returns the mean length, rounded up.
func (c *count) mean(lists int) int { return (c.sum + lists - 1) / max(lists, 1) }

func (l lengths) cost(selection ast.SelectionSet) int {
	cost := 0
	for _, selected := range selection {
		switch s := selected.(type) {
		case *ast.Field:
			length := 1
			if s.ObjectDefinition != nil {
				if n, ok := l[s.ObjectDefinition.Name+"."+s.Name]; ok {
					length = n
				}
			}
			cost += length * (1 + l.cost(s.SelectionSet))
		case *ast.InlineFragment:
			cost += l.cost(s.SelectionSet)
		case *ast.FragmentSpread:
			cost += l.cost(s.Definition.SelectionSet)
		}
	}
	return cost
}
