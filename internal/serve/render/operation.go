package render

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// sharedOperation is the operation of all subscriptions with the same updates. The arguments of their field may differ. It
// lives as long as one of them.
type sharedOperation struct {
	identity      identity
	number        uint64 // unique, also over time
	operation     *graphql.OperationContext
	subscriptions int // guarded by updates.mu
	size          int // in memory, in bytes
}

// identity is the key of a sharedOperation.
type identity struct{ document, operation, variables string }

// newSharedOperation returns the sharedOperation of a subscription. It lacks the variables of the field's arguments, because it
// is executed without the field's resolver.
func newSharedOperation(o *graphql.OperationContext) (*sharedOperation, error) {
	variables := map[string]any{}
	for _, name := range variablesOf(o.Operation.SelectionSet, o.Doc.Fragments) {
		if value, ok := o.Variables[name]; ok {
			variables[name] = value
		}
	}
	const fixed = 500
	text, err := json.Marshal(variables)
	if err != nil {
		return nil, fmt.Errorf("encode variables: %w", err)
	}
	return &sharedOperation{
		identity: identity{o.RawQuery, o.OperationName, string(text)},
		size:     fixed + costOf(o).Document + len(o.RawQuery) + 2*len(text),
		operation: &graphql.OperationContext{
			RawQuery: o.RawQuery, OperationName: o.OperationName, Doc: o.Doc, Operation: o.Operation, Variables: variables,
			RecoverFunc: o.RecoverFunc, ResolverMiddleware: o.ResolverMiddleware,
			RootResolverMiddleware: o.RootResolverMiddleware, DisableIntrospection: o.DisableIntrospection,
		},
	}, nil
}

// variablesOf returns the variables that the results of a subscription depend on: all that the selection uses, without the
// arguments of the subscription's own field. Those choose the pulls, and not how a pull looks.
func variablesOf(selection ast.SelectionSet, fragments ast.FragmentDefinitionList) (names []string) {
	var seen []*ast.FragmentDefinition
	var arguments func(ast.ArgumentList)
	var value func(*ast.Value)
	var walk func(ast.SelectionSet)
	directives := func(list ast.DirectiveList) {
		for _, d := range list {
			arguments(d.Arguments)
		}
	}
	value = func(v *ast.Value) {
		if v.Kind == ast.Variable {
			names = append(names, v.Raw)
		}
		for _, child := range v.Children {
			value(child.Value)
		}
	}
	arguments = func(list ast.ArgumentList) {
		for _, a := range list {
			value(a.Value)
		}
	}
	walk = func(set ast.SelectionSet) {
		for _, selected := range set {
			switch s := selected.(type) {
			case *ast.Field:
				if s.ObjectDefinition == nil || s.ObjectDefinition.Name != "Subscription" {
					arguments(s.Arguments)
				}
				directives(s.Directives)
				walk(s.SelectionSet)
			case *ast.InlineFragment:
				directives(s.Directives)
				walk(s.SelectionSet)
			case *ast.FragmentSpread:
				directives(s.Directives)
				if f := fragments.ForName(s.Name); f != nil && !slices.Contains(seen, f) {
					seen = append(seen, f)
					directives(f.Directives)
					walk(f.SelectionSet)
				}
			}
		}
	}
	walk(selection)
	return names
}
