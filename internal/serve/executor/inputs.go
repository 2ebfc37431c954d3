package executor

import (
	"encoding/json"
	"maps"
	"math"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// A client may send null for an argument or input field that has a default, as typed clients do for what is not set: it
// stands for the default, as if nothing were there. So null is removed wherever it comes from: from documents when they are
// learned, and from the variables of each request. gqlgen and its parser put the default in the place of what is not there.

// removeNulls removes each null of a valid document that stands for a default.
func removeNulls(schema *ast.Schema, document *ast.QueryDocument) {
	for _, operation := range document.Operations {
		for _, variable := range operation.VariableDefinitions {
			removeNullsOfValue(schema, schema.Types[variable.Type.Name()], variable.DefaultValue)
		}
		removeNullsOfSelection(schema, operation.SelectionSet)
	}
	for _, fragment := range document.Fragments {
		removeNullsOfSelection(schema, fragment.SelectionSet)
	}
}

func removeNullsOfSelection(schema *ast.Schema, selection ast.SelectionSet) {
	for _, selected := range selection {
		switch s := selected.(type) {
		case *ast.Field:
			kept := s.Arguments[:0]
			for _, argument := range s.Arguments {
				definition := s.Definition.Arguments.ForName(argument.Name)
				if argument.Value.Kind == ast.NullValue && definition.DefaultValue != nil {
					continue
				}
				removeNullsOfValue(schema, schema.Types[definition.Type.Name()], argument.Value)
				kept = append(kept, argument)
			}
			s.Arguments = kept
			removeNullsOfSelection(schema, s.SelectionSet)
		case *ast.InlineFragment:
			removeNullsOfSelection(schema, s.SelectionSet)
		}
	}
}

// removeNullsOfValue is for a value of type t, or of a list of such; nil for none.
func removeNullsOfValue(schema *ast.Schema, t *ast.Definition, value *ast.Value) {
	if value == nil {
		return
	}
	// A variable that has no value stands for nothing, not for its own default: the variables have that already.
	value.VariableDefinition = nil
	kept := value.Children[:0]
	for _, child := range value.Children {
		of := t
		if t.Kind == ast.InputObject && child.Name != "" {
			field := t.Fields.ForName(child.Name)
			if child.Value.Kind == ast.NullValue && field.DefaultValue != nil {
				continue
			}
			of = schema.Types[field.Type.Name()]
		}
		removeNullsOfValue(schema, of, child.Value)
		kept = append(kept, child)
	}
	value.Children = kept
}

// readVariables removes each null within the variables of a request that stands for a default, and makes integers of numbers such
// as 2.0 for Int. The error names a number that is not one, or what is no value of an enum. What else is wrong is found by gqlgen.
func readVariables(schema *ast.Schema, operation *ast.OperationDefinition, variables map[string]any) *gqlerror.Error {
	for _, variable := range operation.VariableDefinitions {
		value, ok := variables[variable.Variable]
		if !ok {
			continue
		}
		path := ast.Path{ast.PathName("variable"), ast.PathName(variable.Variable)}
		read, err := readValue(schema, schema.Types[variable.Type.Name()], value, path)
		if err != nil {
			return err
		}
		variables[variable.Variable] = read
	}
	return nil
}

// readValue is for a value of type t, or of a list of such.
func readValue(schema *ast.Schema, t *ast.Definition, value any, path ast.Path) (any, *gqlerror.Error) {
	switch v := value.(type) {
	case json.Number:
		if t.Name == "Int" {
			return readInt(v, path)
		}
	case string:
		if t.Kind == ast.Enum && t.EnumValues.ForName(v) == nil { // gqlgen takes any case, and makes nothing of it
			return nil, gqlerror.ErrorPathf(path, "%q is not a %s", v, t.Name)
		}
	case []any:
		for i := range v {
			read, err := readValue(schema, t, v[i], append(path, ast.PathIndex(i)))
			if err != nil {
				return nil, err
			}
			v[i] = read
		}
	case map[string]any:
		for _, field := range t.Fields {
			of, ok := v[field.Name]
			switch {
			case !ok:
			case of == nil && field.DefaultValue != nil:
				delete(v, field.Name)
			default:
				read, err := readValue(schema, schema.Types[field.Type.Name()], of, append(path, ast.PathName(field.Name)))
				if err != nil {
					return nil, err
				}
				v[field.Name] = read
			}
		}
	}
	return value, nil
}

func readInt(number json.Number, path ast.Path) (any, *gqlerror.Error) {
	if _, err := number.Int64(); err == nil {
		return number, nil
	}
	float, err := number.Float64()
	if err != nil || float != math.Trunc(float) || math.Abs(float) > math.MaxInt32 {
		return nil, gqlerror.ErrorPathf(path, "cannot use %s as Int: it has to be a whole number of 32 bits", number)
	}
	return json.Number(strconv.Itoa(int(float))), nil
}

// withoutNulls removes the variables that are null. Where they are used, they stand for nothing.
func withoutNulls(variables map[string]any) {
	maps.DeleteFunc(variables, func(_ string, value any) bool { return value == nil })
}
