package render_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// writer writes random operations that are valid, but for some of their arguments.
type writer struct {
	*rand.Rand
	schema    *ast.Schema
	variables map[string]any
	declared  []string
	fragments []string
}

// operation is a document with what goes with it.
type operation struct {
	document, name string
	variables      map[string]any
	follows        int // how many pulls
}

func (w *writer) query() operation {
	return w.operation("query", func() string {
		var fields []string
		for range 1 + w.IntN(3) {
			fields = append(fields, w.root())
		}
		return strings.Join(fields, " ")
	})
}

func (w *writer) subscription() operation {
	follows := 1 + w.IntN(3)
	o := w.operation("subscription", func() string {
		field := w.alias() + "pullJobUpdated" + w.arguments(&follows) + " " + w.selection("PullJob", 0)
		if w.IntN(4) == 0 {
			return "... on Subscription @include(if: " + w.variable("Boolean!", true) + ") { " + field + " }"
		}
		return field
	})
	o.follows = follows
	return o
}

func (w *writer) operation(kind string, content func() string) operation {
	w.variables, w.declared, w.fragments = map[string]any{}, nil, nil
	o := operation{}
	selection := content()
	if w.IntN(2) == 0 {
		o.name = fmt.Sprint("Operation", w.IntN(3))
	}
	head := kind + " " + o.name
	if len(w.declared) > 0 {
		head = kind + " " + o.name + "(" + strings.Join(w.declared, ", ") + ")"
	}
	documents := append([]string{head + " { " + selection + " }"}, w.fragments...)
	if o.name != "" && w.IntN(3) == 0 {
		documents = append(documents, "query Another { __typename }")
	} else if w.IntN(3) == 0 {
		o.name = "" // a document of one operation need not name it
	}
	w.Shuffle(len(documents), func(i, j int) { documents[i], documents[j] = documents[j], documents[i] })
	o.document, o.variables = strings.Join(documents, w.pick("\n", " ", " # a comment\n")), w.variables
	return o
}

func (w *writer) root() string {
	switch w.IntN(10) {
	case 0:
		return w.alias() + "__typename"
	case 1:
		return w.alias() + `__type(name: "PullPhase") { name enumValues { name } }`
	case 2:
		return w.alias() + `pullJob(id: "pull-1") ` + w.selection("PullJob", 0)
	case 3, 4, 5:
		return w.alias() + "failedPulls" + w.limit() + w.directive() + " " + w.selection("PullJob", 0)
	default:
		return w.alias() + "activePulls " + w.directive() + " " + w.selection("PullJob", 0)
	}
}

func (w *writer) limit() string {
	limit := []int{1, 2, 3, 50, 500, 0, -1, 501}[w.IntN(8)]
	switch w.IntN(3) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("(limit: %d)", limit)
	default:
		return "(limit: " + w.variable("Int!", limit) + ")"
	}
}

// arguments are those of pullJobUpdated, for so many pulls.
func (w *writer) arguments(follows *int) string {
	ids := []any{"pull-0", "pull-1", "pull-2"}[:*follows]
	switch w.IntN(5) {
	case 0:
		*follows = 3
		return ""
	case 4:
		*follows = 2
		return `(ids: ["pull-0", ` + w.variable("ID!", "pull-1") + "])"
	case 1:
		*follows = 2
		return `(ids: ["pull-0", "pull-1"])`
	case 2:
		return "(ids: " + w.variable("[ID!]", ids) + ", after: " + w.variable("ID", nil) + ")"
	default:
		return "(ids: " + w.variable("[ID!]!", ids) + ")"
	}
}

func (w *writer) selection(of string, depth int) string {
	definition := w.schema.Types[of]
	var parts []string
	for range 1 + w.IntN(6) {
		switch w.IntN(8) {
		case 0:
			parts = append(parts, w.pick("", w.alias())+"__typename")
		case 1:
			if depth < 4 {
				parts = append(parts, "... "+w.pick("", "on "+of)+w.directive()+" "+w.selection(of, depth+1))
			}
		case 2:
			if depth < 3 {
				selection := w.selection(of, depth+1)
				name := fmt.Sprint("Part", len(w.fragments))
				w.fragments = append(w.fragments, fmt.Sprintf("fragment %s on %s %s", name, of, selection))
				parts = append(parts, "..."+name+w.directive())
			}
		default:
			parts = append(parts, w.field(definition, depth))
		}
	}
	return "{ __typename " + strings.Join(parts, " ") + " }"
}

func (w *writer) field(of *ast.Definition, depth int) string {
	field := of.Fields[w.IntN(len(of.Fields))]
	text := w.pick("", w.alias()) + field.Name + w.directive()
	if w.schema.Types[field.Type.Name()].Kind == ast.Object {
		text += " " + w.selection(field.Type.Name(), depth+1)
	}
	return text
}

func (w *writer) directive() string {
	name := w.pick("skip", "include")
	switch w.IntN(8) {
	case 0:
		return fmt.Sprintf(" @%s(if: %v)", name, w.IntN(2) == 0)
	case 1:
		return fmt.Sprintf(" @%s(if: %s)", name, w.variable("Boolean!", w.IntN(2) == 0))
	default:
		return ""
	}
}

// alias keeps fields apart that have the same name and different arguments, which may not have one name in a response.
func (w *writer) alias() string { return fmt.Sprintf("a%d: ", w.Uint32()) }

func (w *writer) variable(kind string, value any) string {
	name := fmt.Sprint("v", len(w.declared))
	w.declared = append(w.declared, "$"+name+": "+kind)
	w.variables[name] = value
	return "$" + name
}

func (w *writer) pick(texts ...string) string { return texts[w.IntN(len(texts))] }
