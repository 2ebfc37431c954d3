package executor

import "github.com/vektah/gqlparser/v2/ast"

// merged is one field of the response. The document may select it several times, for example in fragments, and validation
// compares each selection with each.
type merged struct {
	fields map[string]*merged // of its value, by name in the response
	times  int                // how often it is selected
	// sets is how many nested selection sets hold the selections, as inline fragments nest. Validation compares the
	// selections again for each set.
	sets int
}

// comparisons returns how many pairs of fields validation compares, at most. The document has at most maxNodes nodes and
// no fragment that spreads itself.
func (c *documentCheck) comparisons(document *ast.QueryDocument) int {
	total := 0
	for _, operation := range document.Operations {
		total += c.merge(operation.SelectionSet)
	}
	for _, definition := range document.Fragments {
		total += c.merge(definition.SelectionSet)
	}
	return total
}

func (c *documentCheck) merge(set ast.SelectionSet) int {
	var root merged
	c.collect(set, &root, 1)
	return root.pairs()
}

func (c *documentCheck) collect(set ast.SelectionSet, into *merged, sets int) {
	for _, selection := range set {
		c.steps++
		switch s := selection.(type) {
		case *ast.Field:
			field := into.field(s.Alias)
			field.times++
			field.sets = max(field.sets, sets)
			c.collect(s.SelectionSet, field, 1)
		case *ast.InlineFragment:
			c.collect(s.SelectionSet, into, sets+1)
		case *ast.FragmentSpread:
			if f := c.fragments[s.Name]; f != nil {
				c.collect(f.definition.SelectionSet, into, sets)
			}
		}
	}
}

func (m *merged) field(name string) *merged {
	field := m.fields[name]
	if field == nil {
		field = &merged{}
		if m.fields == nil {
			m.fields = map[string]*merged{}
		}
		m.fields[name] = field
	}
	return field
}

func (m *merged) pairs() int {
	total := m.times * (m.times - 1) / 2 * m.sets
	for _, field := range m.fields {
		total += field.pairs()
	}
	return total
}
