package executor

import (
	"encoding/json"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	gqlgen "github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// graphiql is what GraphiQL asks for, in short.
const graphiql = `{__schema{queryType{name kind}mutationType{name kind}subscriptionType{name kind}types{...FullType}
	directives{name description isRepeatable locations args{...InputValue}}}}
	fragment FullType on __Type{kind name description specifiedByURL fields(includeDeprecated:true){name description
	args(includeDeprecated:true){...InputValue}type{...TypeRef}isDeprecated deprecationReason}inputFields{...InputValue}
	interfaces{...TypeRef}enumValues(includeDeprecated:true){name description isDeprecated deprecationReason}possibleTypes{...TypeRef}}
	fragment InputValue on __InputValue{name description type{...TypeRef}defaultValue isDeprecated deprecationReason}
	fragment TypeRef on __Type{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}}}`

func TestIntrospectionCostsAboutAsMuchAsItsResponseHasFields(t *testing.T) {
	schema := theSchema()
	e := gqlgen.New(schema)
	e.Use(extension.Introspection{})
	for name, query := range map[string]string{
		"GraphiQL": graphiql,
		"names":    "{__schema{types{name}}}",
		"twice":    "{__schema{a:types{name description fields{name args{name}}} b:types{name}}}",
		"one type": `{__type(name:"PullJob"){name fields{name type{name}}}}`,
	} {
		ctx := graphql.StartOperationTrace(t.Context())
		operation, errs := e.CreateOperationContext(ctx, &graphql.RawParams{Query: query})
		if errs != nil {
			t.Fatalf("%s: %v", name, errs)
		}
		respond, ctx := e.DispatchOperation(ctx, operation)
		var data any
		if err := json.Unmarshal(respond(ctx).Data, &data); err != nil {
			t.Fatal(err)
		}
		cost, returned := introspectionComplexity(schema.Schema(), operation.Operation.SelectionSet), fieldsIn(data)
		if name == "GraphiQL" && cost > maxIntrospection/2 {
			t.Errorf("%s costs %d of %d", name, cost, maxIntrospection)
		}
		if cost < returned/2 || cost > 5*returned {
			t.Errorf("%s costs %d, and returns %d fields", name, cost, returned)
		}
	}
}

// fieldsIn counts the fields in a response.
func fieldsIn(value any) int {
	n := 0
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			n += 1 + fieldsIn(member)
		}
	case []any:
		for _, element := range v {
			n += fieldsIn(element)
		}
	}
	return n
}

func TestOperationsWithoutIntrospectionCostNothingForIt(t *testing.T) {
	schema := theSchema().Schema()
	document, errs := gqlparser.LoadQueryWithRules(
		schema, "query a{...f __typename} fragment f on Query{activePulls{id}}", rules.NewDefaultRules())
	if errs != nil {
		t.Fatal(errs)
	}
	if cost := introspectionComplexity(schema, document.Operations[0].SelectionSet); cost != 0 {
		t.Errorf("it costs %d", cost)
	}
}
