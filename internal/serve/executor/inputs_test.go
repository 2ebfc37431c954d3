package executor

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/turns"
)

// prepared returns the arguments of an operation's first field, as resolvers get them.
func prepared(t *testing.T, query string, variables map[string]any) (map[string]any, gqlerror.List) {
	t.Helper()
	registry := prometheus.NewRegistry()
	e := New(Options{
		Schema: theSchema(), Errors: NewErrors(slog.New(slog.DiscardHandler), registry), ActivePulls: func() int { return 0 },
		MaxOperations: 1, CachedDocuments: 1 << 20, Turns: turns.New(1), Metrics: NewMetrics(registry),
	})
	ctx := graphql.StartOperationTrace(t.Context())
	var o *graphql.OperationContext
	for range 2 { // a known document is not read again
		var errs gqlerror.List
		if o, errs = e.CreateOperationContext(ctx, &graphql.RawParams{Query: query, Variables: variables}); len(errs) > 0 {
			return nil, errs
		}
	}
	field, ok := o.Operation.SelectionSet[0].(*ast.Field)
	if !ok {
		return nil, nil
	}
	return field.ArgumentMap(o.Variables), nil
}

// literal returns the least value of a type. Objects of type of have the field extra, too. Names are between quotes: none in a
// document, '"' in JSON.
func literal(t *ast.Type, of, extra, quotes string) string {
	if t.Elem != nil {
		return "[" + literal(t.Elem, of, extra, quotes) + "]"
	}
	switch definition := theSchema().Schema().Types[t.NamedType]; {
	case definition.Kind == ast.Enum:
		return quotes + definition.EnumValues[0].Name + quotes
	case definition.Kind == ast.InputObject:
		var fields []string
		if definition.Name == of {
			fields = append(fields, extra)
		}
		for _, field := range definition.Fields {
			if field.Type.NonNull && field.DefaultValue == nil || reaches(field.Type, of) {
				fields = append(fields, quotes+field.Name+quotes+": "+literal(field.Type, of, extra, quotes))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case t.NamedType == "Int":
		return "1"
	case t.NamedType == "Boolean":
		return "true"
	default:
		return `"a"`
	}
}

// reaches reports whether a value of a type may have one of type of in it.
func reaches(t *ast.Type, of string) bool {
	definition := theSchema().Schema().Types[t.Name()]
	if definition.Kind != ast.InputObject {
		return false
	}
	if definition.Name == of {
		return true
	}
	for _, field := range definition.Fields {
		if reaches(field.Type, of) {
			return true
		}
	}
	return false
}

// hasNull reports whether a value has a null in it.
func hasNull(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		for _, element := range v {
			if hasNull(element) {
				return true
			}
		}
	case map[string]any:
		for _, field := range v {
			if hasNull(field) {
				return true
			}
		}
	}
	return false
}

// operationOf returns a document that asks for a root field.
func operationOf(root *ast.Definition, field *ast.FieldDefinition, variable string, arguments []string) string {
	selection := ""
	if theSchema().Schema().Types[field.Type.Name()].IsCompositeType() {
		selection = "{__typename}"
	}
	list := ""
	if len(arguments) > 0 {
		list = "(" + strings.Join(arguments, ", ") + ")"
	}
	return fmt.Sprintf("%s%s{%s%s%s}", strings.ToLower(root.Name), variable, field.Name, list, selection)
}

// Every argument and input field that has a default, now and later: the type is nullable, and null stands for the default.
func TestNullStandsForADefault(t *testing.T) {
	schema := theSchema().Schema()
	tried := 0
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range root.Fields {
			for _, argument := range field.Arguments {
				if strings.HasPrefix(field.Name, "__") {
					continue
				}
				var others []string
				for _, other := range field.Arguments {
					if other != argument && other.Type.NonNull && other.DefaultValue == nil {
						others = append(others, other.Name+": "+literal(other.Type, "", "", ""))
					}
				}
				if argument.DefaultValue != nil {
					tried++
					if argument.Type.NonNull {
						t.Errorf("%s(%s:) has a default, so it may not be %s", field.Name, argument.Name, argument.Type)
						continue
					}
					want, err := argument.DefaultValue.Value(nil)
					if err != nil {
						t.Fatal(err)
					}
					nothing, null := map[string]any(nil), map[string]any{"v": nil}
					variable := "($v: " + argument.Type.String() + ")"
					for name, test := range map[string]struct {
						query     string
						variables map[string]any
					}{
						"literal":  {operationOf(root, field, "", append(others, argument.Name+": null")), nothing},
						"variable": {operationOf(root, field, variable, append(others, argument.Name+": $v")), null},
						"nothing":  {operationOf(root, field, "", others), nothing},
					} {
						if got, errs := prepared(t, test.query, test.variables); errs != nil || got[argument.Name] != want {
							t.Errorf("%s as %s: got %v, %v, want %v", test.query, name, got, errs, want)
						}
					}
				}
				for _, input := range schema.Types {
					if input.Kind != ast.InputObject || !reaches(argument.Type, input.Name) {
						continue
					}
					for _, defaulted := range input.Fields {
						if defaulted.DefaultValue == nil {
							continue
						}
						tried++
						if defaulted.Type.NonNull {
							t.Errorf("%s.%s has a default, so it may not be %s", input.Name, defaulted.Name, defaulted.Type)
							continue
						}
						whole := func(value string) string {
							return argument.Name + ": " + literal(argument.Type, input.Name, defaulted.Name+": "+value, "")
						}
						for _, test := range []struct {
							query, variables string
						}{
							{operationOf(root, field, "", append(others, whole("null"))), `{}`},
							{operationOf(root, field, "($v: "+defaulted.Type.String()+")", append(others, whole("$v"))), `{"v": null}`},
							{operationOf(root, field, "($v: "+argument.Type.String()+")", append(others, argument.Name+": $v")),
								`{"v": ` + literal(argument.Type, input.Name, `"`+defaulted.Name+`": null`, `"`) + `}`},
						} {
							got, errs := prepared(t, test.query, decoded(t, test.variables))
							// gqlgen puts the default where there is nothing.
							if errs != nil || hasNull(got[argument.Name]) {
								t.Errorf("%s with %s: got %v, %v", test.query, test.variables, got, errs)
							}
						}
					}
				}
			}
		}
	}
	if tried < 3 {
		t.Errorf("only %d defaults were found", tried)
	}
}

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// What has no default of its own does not get that of a variable when the variable is null.
func TestNullStandsForNothingWhereThereIsNoDefault(t *testing.T) {
	const query = `subscription($c: String = "app"){podLogs(input: {namespace: "a", pod: "b", container: $c}){cursor}}`
	for variables, want := range map[string]any{`{}`: "app", `{"c": "other"}`: "other", `{"c": null}`: nil} {
		got, errs := prepared(t, query, decoded(t, variables))
		if input, _ := got["input"].(map[string]any); errs != nil || input["container"] != want {
			t.Errorf("%s: got %v, %v, want %v", variables, got, errs, want)
		}
	}
}

func TestAVariableOfTheWrongTypeIsNamed(t *testing.T) {
	const limit = "query($n: Int){failedPulls(limit: $n){id}}"
	const logs = "subscription($n: PodLogsInput!){podLogs(input: $n){cursor}}"
	const phases = "subscription($n: [PullPhase!]){pullJobUpdated(phases: $n){id}}"
	for variables, test := range map[string]struct{ query, message string }{
		`{"n": 1.5}`:                  {limit, "variable.n: cannot use 1.5 as Int: it has to be a whole number of 32 bits"},
		`{"n": 99999999999999999999}`: {limit, "variable.n: cannot use 99999999999999999999 as Int: it has to be a whole number of 32 bits"},
		`{"n": 1e999}`:                {limit, "variable.n: cannot use 1e999 as Int: it has to be a whole number of 32 bits"},
		`{"n": {"namespace": "a", "pod": "b", "tailLines": 1.5}}`: {logs,
			"variable.n.tailLines: cannot use 1.5 as Int: it has to be a whole number of 32 bits"},
		`{"n": ["FAILED", "queued"]}`: {phases, `variable.n[1]: "queued" is not a PullPhase`},
		`{"n": ["FAILED", "QUEUED"]}`: {phases, ""},
		`{"n": "QUEUED"}`:             {phases, ""},
		`{"n": 2.0}`:                  {limit, ""},
		`{"n": 1e2}`:                  {limit, ""},
		`{"n": {"namespace": "a", "pod": "b", "tailLines": 2.0}}`: {logs, ""},
	} {
		_, errs := prepared(t, test.query, decoded(t, variables))
		message := ""
		if len(errs) > 0 {
			message = requestMessage(errs[0])
		}
		if message != test.message {
			t.Errorf("%s: %q, want %q", variables, message, test.message)
		}
	}
}

// FuzzNulls checks that reading any valid request ends without a panic.
func FuzzNulls(f *testing.F) {
	for _, request := range [][2]string{
		{`query($n: Int){failedPulls(limit: $n){id}}`, `{"n": null}`},
		{`subscription($i: PodLogsInput! = {namespace: "a", follow: null}){podLogs(input: $i){cursor}}`, `{"i": {"follow": null, "since": {"a": [1.5]}}}`},
		{`subscription($f: Boolean){podLogs(input: {namespace: "a", since: {a: null}, follow: $f}){...f}}fragment f on PodLogBatch{cursor}`, `{"f": [null]}`},
		{`{__type(name: "a"){fields(includeDeprecated: null){name}}}`, `{}`},
		{`subscription($p: [PullPhase!]){pullJobUpdated(phases: $p, history: null){id}}`, `{"p": [["x"], {"y": "z"}, 1e9]}`},
	} {
		f.Add(request[0], request[1])
	}
	f.Fuzz(func(t *testing.T, query, variables string) {
		var given map[string]any
		d := json.NewDecoder(strings.NewReader(variables))
		d.UseNumber()
		if d.Decode(&given) != nil {
			t.Skip()
		}
		prepared(t, query, given)
	})
}
