package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"
)

func loadSchema(t *testing.T) *ast.Schema {
	t.Helper()
	paths, err := filepath.Glob("../../../schema/*.graphqls")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no schema: %v", err)
	}
	var sources []*ast.Source
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, &ast.Source{Name: path, Input: string(content)})
	}
	return gqlparser.MustLoadSchema(sources...)
}

func TestEveryExampleCanBeRun(t *testing.T) {
	schema := loadSchema(t)
	for _, demo := range []bool{false, true} {
		for _, e := range examples(demo) {
			document, err := gqlparser.LoadQueryWithRules(schema, e.Query, nil)
			if err != nil {
				t.Errorf("%v in:\n%s", err, e.Query)
				continue
			}
			if len(document.Operations) != 1 || document.Operations[0].Name == "" {
				t.Errorf("want one operation with a name, which is the tab's title:\n%s", e.Query)
				continue
			}
			if _, err := validator.VariableValues(schema, document.Operations[0], e.Variables); err != nil {
				t.Errorf("%s: variables: %v", document.Operations[0].Name, err)
			}
			if !strings.HasPrefix(e.Query, "# ") {
				t.Errorf("%s does not begin with a comment", document.Operations[0].Name)
			}
		}
	}
}

func TestEveryRootFieldHasAnExample(t *testing.T) {
	schema := loadSchema(t)
	var all strings.Builder
	for _, e := range examples(true) {
		all.WriteString(e.Query)
	}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, field := range root.Fields {
			if !strings.HasPrefix(field.Name, "__") && !strings.Contains(all.String(), "\n  "+field.Name) {
				t.Errorf("no example of %s.%s", root.Name, field.Name)
			}
		}
	}
}

func TestPageReplacesThePlaceholdersOfTheExamples(t *testing.T) {
	script := string(mustRead("page.js"))
	for _, e := range examples(true) {
		if id, ok := e.Variables["id"]; ok && !strings.Contains(script, "'"+id.(string)+"': ") {
			t.Errorf("page.js does not look up %q", id)
		}
	}
}
