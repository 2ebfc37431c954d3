package resolvers

import (
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
)

// IntrospectionComplexity returns what the introspection in an operation's selection costs, which gqlgen's complexity
// leaves out: one for each field that the response has. The document has to be valid.
func IntrospectionComplexity(schema *ast.Schema, selection ast.SelectionSet) int {
	cost := 0
	for _, selected := range selection {
		switch s := selected.(type) {
		case *ast.Field:
			if s.Name == "__schema" || s.Name == "__type" {
				cost += lengthsOf(schema).cost(s.SelectionSet)
			}
		case *ast.InlineFragment:
			cost += IntrospectionComplexity(schema, s.SelectionSet)
		case *ast.FragmentSpread:
			cost += IntrospectionComplexity(schema, s.Definition.SelectionSet)
		}
	}
	return cost
}

// lengths are those of the lists in an introspection, by type and field: the mean of all types. As an operation asks all
// of them alike, that comes to the right sum.
type lengths map[string]int

// knownLengths are those of schemas, of which a process has few.
var knownLengths sync.Map // of *ast.Schema

func lengthsOf(schema *ast.Schema) lengths {
	if known, ok := knownLengths.Load(schema); ok {
		return known.(lengths)
	}
	fields, arguments, values, inputs := 0, 0, 0, 0
	for _, t := range schema.Types {
		if t.Kind == ast.InputObject {
			inputs += len(t.Fields)
			continue
		}
		fields += len(t.Fields)
		values += len(t.EnumValues)
		for _, field := range t.Fields {
			arguments += len(field.Arguments)
		}
	}
	directiveArguments, locations := 0, 0
	for _, d := range schema.Directives {
		directiveArguments += len(d.Arguments)
		locations += len(d.Locations)
	}
	types, directives := len(schema.Types), len(schema.Directives)
	l := lengths{
		"__Schema.types":        types,
		"__Schema.directives":   directives,
		"__Type.fields":         mean(fields, types),
		"__Type.enumValues":     mean(values, types),
		"__Type.inputFields":    mean(inputs, types),
		"__Type.interfaces":     1,
		"__Type.possibleTypes":  1,
		"__Field.args":          mean(arguments, fields),
		"__Directive.args":      mean(directiveArguments, directives),
		"__Directive.locations": mean(locations, directives),
	}
	knownLengths.Store(schema, l)
	return l
}

// mean is rounded up.
func mean(sum, n int) int { return (sum + n - 1) / max(n, 1) }

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
