package web

import (
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"

	"pullwatch/schema"
)

func loadSchema() *ast.Schema {
	return gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: schema.Text})
}

func TestEveryExampleCanBeRun(t *testing.T) {
	loaded := loadSchema()
	for _, demo := range []bool{false, true} {
		for _, e := range examples(demo) {
			document, err := gqlparser.LoadQueryWithRules(loaded, e.Query, nil)
			if err != nil {
				t.Errorf("%v in:\n%s", err, e.Query)
				continue
			}
			if len(document.Operations) != 1 || document.Operations[0].Name == "" {
				t.Errorf("want one operation with a name, which is the tab's title:\n%s", e.Query)
				continue
			}
			if _, err := validator.VariableValues(loaded, document.Operations[0], e.Variables); err != nil {
				t.Errorf("%s: variables: %v", document.Operations[0].Name, err)
			}
			if !strings.HasPrefix(e.Query, "# ") {
				t.Errorf("%s does not begin with a comment", document.Operations[0].Name)
			}
		}
	}
}

func TestEveryRootFieldHasAnExample(t *testing.T) {
	loaded := loadSchema()
	var all strings.Builder
	for _, e := range examples(true) {
		all.WriteString(e.Query)
	}
	for _, root := range []*ast.Definition{loaded.Query, loaded.Mutation, loaded.Subscription} {
		for _, field := range root.Fields {
			if !strings.HasPrefix(field.Name, "__") && !strings.Contains(all.String(), "\n  "+field.Name) {
				t.Errorf("no example of %s.%s", root.Name, field.Name)
			}
		}
	}
}

func TestPageReplacesThePlaceholdersOfTheExamples(t *testing.T) {
	page := newDocuments(true)
	for _, e := range page.Examples {
		if id, ok := e.Variables["id"]; ok && page.StandIns[id.(string)] == "" {
			t.Errorf("the page does not look up %q", id)
		}
	}
}

func TestEveryDocumentOfThePageIsValid(t *testing.T) {
	loaded := loadSchema()
	for _, text := range Documents() {
		if _, err := gqlparser.LoadQueryWithRules(loaded, text, nil); err != nil {
			t.Errorf("%v in:\n%s", err, text)
		}
	}
}
