package jsonreader

import (
	"fmt"

	"github.com/99designs/gqlgen/graphql"
)

// A MemberError says what is wrong with a parameter of a request.
type MemberError struct{ message string }

func (e *MemberError) Error() string { return e.message }

// Params reads the parameters of a GraphQL request, which are the members of an object, and goes behind it. Members that
// are null count as absent, others that it does not know are passed over. hasQuery reports whether there is a query, be
// it empty. The error is Err's, or a [*MemberError] if the text is not known to be wrong otherwise.
func (r *Reader) Params() (p *graphql.RawParams, hasQuery bool, err error) {
	if r.Next() != '{' {
		r.fail(ErrSyntax)
		return nil, false, r.err
	}
	p = &graphql.RawParams{}
	var seen [4]bool
	for more := r.Enter('}'); more; more = r.More('}') {
		name := r.Name()
		var is int
		var ok bool
		want := "a string"
		switch name {
		case "query":
			hasQuery = r.Next() == '"'
			is, ok = 0, r.readString(&p.Query)
		case "operationName":
			is, ok = 1, r.readString(&p.OperationName)
		case "variables":
			is, ok, want = 2, r.ReadObject(&p.Variables), "an object"
		case "extensions":
			is, ok, want = 3, r.ReadObject(&p.Extensions), "an object"
		default:
			r.Skip()
			continue
		}
		switch {
		case r.err != nil:
			return nil, false, r.err
		case !ok:
			return nil, false, &MemberError{fmt.Sprintf("%q is not %s", name, want)}
		case seen[is]:
			return nil, false, &MemberError{fmt.Sprintf("the request has %q more than once", name)}
		}
		seen[is] = true
	}
	if r.err != nil {
		return nil, false, r.err
	}
	return p, hasQuery, nil
}

// readString reads a string, or null as if the parameter were not there.
func (r *Reader) readString(to *string) bool {
	switch r.Next() {
	case '"':
		*to = r.String()
		return true
	case 'n':
		return string(r.Literal()) == "null"
	}
	return false
}

// ReadObject reads an object, or null as if it were not there. It reports false at anything else.
func (r *Reader) ReadObject(to *map[string]any) bool {
	switch r.Next() {
	case '{':
		*to = r.Object()
		return true
	case 'n':
		return string(r.Literal()) == "null"
	}
	return false
}
