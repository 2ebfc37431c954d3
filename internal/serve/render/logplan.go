package render

import (
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"pullwatch/internal/podlog"
)

// logPlan writes batches of log lines for one subscription. A log has so many lines that most time would go into what gqlgen
// does for each field of each line. A plan does that once for all lines, and writes the same bytes.
type logPlan struct {
	// begin is written before each batch.
	begin []byte
	batch object[podlog.Batch]
}

// newLogPlan returns nil if the operation does not stream logs, or selects a field that is not known here.
func newLogPlan(o *graphql.OperationContext) *logPlan {
	root := graphql.CollectFields(o, o.Operation.SelectionSet, []string{"Subscription"})
	if len(root) != 1 || root[0].Name != "podLogs" || root[0].IsDeferred() {
		return nil
	}
	c := logCompiler{o}
	batch := compile(c, root[0].Selections, "PodLogBatch", c.batchField)
	if batch == nil {
		return nil
	}
	return &logPlan{begin: append(appendString([]byte("{"), root[0].Alias), ':'), batch: batch}
}

// append appends the data of the response for a batch.
func (p *logPlan) append(b []byte, batch *podlog.Batch) []byte {
	b = append(b, p.begin...)
	b = p.batch.append(b, batch)
	return append(b, '}')
}

// object writes values of an object type.
type object[T any] []objectField[T]

type objectField[T any] struct {
	// key is written before the value: a brace or comma, the field's name, and a colon.
	key   []byte
	value appender[T]
}

// appender appends a field of a value.
type appender[T any] func(b []byte, of *T) []byte

func (o object[T]) append(b []byte, v *T) []byte {
	for i := range o {
		b = append(b, o[i].key...)
		b = o[i].value(b, v)
	}
	return append(b, '}')
}

// logCompiler makes the plan for an operation.
type logCompiler struct{ operation *graphql.OperationContext }

// compile returns the object that writes the selected fields of a type. field returns the appender of a field, or nil. compile
// returns nil if a field has none, or if no field is selected.
func compile[T any](
	c logCompiler, selections ast.SelectionSet, name string, field func(graphql.CollectedField) appender[T],
) object[T] {
	var o object[T]
	written := map[string]bool{}
	for _, f := range graphql.CollectFields(c.operation, selections, []string{name}) {
		value := field(f)
		if f.Name == "__typename" {
			value = func(b []byte, _ *T) []byte { return appendString(b, name) }
		}
		if value == nil || f.IsDeferred() {
			return nil
		}
		if written[f.Alias] {
			continue
		}
		written[f.Alias] = true
		separator := byte(',')
		if len(o) == 0 {
			separator = '{'
		}
		o = append(o, objectField[T]{append(appendString([]byte{separator}, f.Alias), ':'), value})
	}
	return o
}

func (c logCompiler) batchField(f graphql.CollectedField) appender[podlog.Batch] {
	switch f.Name {
	case "lines":
		line := compile(c, f.Selections, "LogLine", lineField)
		return list(line, func(batch *podlog.Batch) []podlog.Line { return batch.Lines })
	case "notices":
		notice := compile(c, f.Selections, "LogNotice", noticeField)
		return list(notice, func(batch *podlog.Batch) []podlog.Notice { return batch.Notices })
	case "cursor":
		return func(b []byte, batch *podlog.Batch) []byte { return appendString(b, batch.Cursor) }
	default:
		return nil
	}
}

// list returns the appender of a list of objects, or nil if element is nil.
func list[T, E any](element object[E], of func(*T) []E) appender[T] {
	if element == nil {
		return nil
	}
	return func(b []byte, v *T) []byte {
		b = append(b, '[')
		elements := of(v)
		for i := range elements {
			if i > 0 {
				b = append(b, ',')
			}
			b = element.append(b, &elements[i])
		}
		return append(b, ']')
	}
}

func lineField(f graphql.CollectedField) appender[podlog.Line] {
	switch f.Name {
	case "pod":
		return func(b []byte, l *podlog.Line) []byte { return appendString(b, l.Pod) }
	case "container":
		return func(b []byte, l *podlog.Line) []byte { return appendString(b, l.Container) }
	case "timestamp":
		return func(b []byte, l *podlog.Line) []byte {
			return append(l.Timestamp.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
		}
	case "message":
		return func(b []byte, l *podlog.Line) []byte { return appendString(b, l.Message) }
	case "truncatedBytes":
		return func(b []byte, l *podlog.Line) []byte { return strconv.AppendInt(b, int64(l.TruncatedBytes), 10) }
	default:
		return nil
	}
}

func noticeField(f graphql.CollectedField) appender[podlog.Notice] {
	switch f.Name {
	case "kind":
		return func(b []byte, n *podlog.Notice) []byte { return appendString(b, string(n.Kind)) }
	case "pod":
		return func(b []byte, n *podlog.Notice) []byte { return appendOptional(b, n.Pod, appendString) }
	case "container":
		return func(b []byte, n *podlog.Notice) []byte { return appendOptional(b, n.Container, appendString) }
	case "message":
		return func(b []byte, n *podlog.Notice) []byte { return appendString(b, n.Message) }
	case "count":
		return func(b []byte, n *podlog.Notice) []byte { return appendOptional(b, n.Count, appendInt) }
	default:
		return nil
	}
}

// appendOptional appends null if v is nil.
func appendOptional[T any](b []byte, v *T, value func([]byte, T) []byte) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	return value(b, *v)
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }
