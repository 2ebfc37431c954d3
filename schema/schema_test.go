package schema_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"pullwatch/graph"
	"pullwatch/schema"
)

// Some tools read the files one after the other, and know an extension only when they know what it extends.
func TestFilesOfTheSchemaCanBeReadInAnyOrder(t *testing.T) {
	paths, err := filepath.Glob("*.graphqls")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		document, err := parser.ParseSchema(&ast.Source{Name: path, Input: string(text)})
		if err != nil {
			t.Fatal(err)
		}
		for _, extension := range document.Extensions {
			t.Errorf("%s extends %s, which is in another file", path, extension.Name)
		}
	}
}

func TestTheWholeSchemaIsTheOneThatIsServed(t *testing.T) {
	whole, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphql", Input: schema.Text})
	if err != nil {
		t.Fatal(err)
	}
	fields := func(s *ast.Schema) (all []string) {
		for name, definition := range s.Types {
			all = append(all, name)
			for _, field := range definition.Fields {
				all = append(all, name+"."+field.Name+": "+field.Type.String())
			}
			for _, value := range definition.EnumValues {
				all = append(all, name+"."+value.Name)
			}
		}
		slices.Sort(all)
		return all
	}
	served := graph.NewExecutableSchema(graph.Config{}).Schema()
	if got, want := fields(whole), fields(served); !slices.Equal(got, want) {
		t.Errorf("schema.graphql has %d names, what is served %d: run make generate", len(got), len(want))
	}
}
