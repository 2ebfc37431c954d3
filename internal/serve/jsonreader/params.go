package jsonreader

import (
	"fmt"

	"github.com/99designs/gqlgen/graphql"
)

// A MemberError says which parameter of a request is wrong, and how.
type MemberError struct{ message string }

func (e *MemberError) Error() string { return e.message }

// documentID is the key of a request's documentId in its Extensions, and the type of the value there. A client cannot send a
// value of this type.
type documentID string

// SetDocumentID sets the documentId of a request, for which graphql.RawParams has no field.
func SetDocumentID(p *graphql.RawParams, id string) {
	if p.Extensions == nil {
		p.Extensions = map[string]any{}
	}
	p.Extensions["documentId"] = documentID(id)
}

// DocumentID returns the documentId of a request. It is empty if there is none.
func DocumentID(p *graphql.RawParams) string {
	id, _ := p.Extensions["documentId"].(documentID)
	return string(id)
}

// NamesDocument reports whether a request names its document, by documentId or as a persisted query, so that it needs no
// query.
func NamesDocument(p *graphql.RawParams) bool {
	return DocumentID(p) != "" || p.Extensions["persistedQuery"] != nil
}

// Params reads an object whose members are the parameters of a GraphQL request. A member that is null counts as absent.
// Params skips members that it does not know. hasQuery reports whether there is a query, which may be empty. The error is
// Err's or a [*MemberError].
//
// The documentId may have the name doc_id, as in the documentation of Relay.
func (r *Reader) Params() (p *graphql.RawParams, hasQuery bool, err error) {
	if r.Next() != '{' {
		r.fail(ErrSyntax)
		return nil, false, r.err
	}
	p = &graphql.RawParams{}
	var seen [5]bool
	var id string
	for more := r.Enter('}'); more; more = r.More('}') {
		name := r.Name()
		var index int // in seen
		var ok bool
		want := "a string"
		switch name {
		case "query":
			hasQuery = r.Next() == '"'
			index, ok = 0, r.readString(&p.Query)
		case "operationName":
			index, ok = 1, r.readString(&p.OperationName)
		case "variables":
			index, ok, want = 2, r.ReadObject(&p.Variables), "an object"
		case "extensions":
			index, ok, want = 3, r.ReadObject(&p.Extensions), "an object"
		case "documentId", "doc_id":
			index, ok = 4, r.readString(&id)
		default:
			r.Skip()
			continue
		}
		switch {
		case r.err != nil:
			return nil, false, r.err
		case !ok:
			return nil, false, &MemberError{fmt.Sprintf("%q is not %s", name, want)}
		case seen[index]:
			return nil, false, &MemberError{fmt.Sprintf("the request has %q more than once", name)}
		}
		seen[index] = true
	}
	if r.err != nil {
		return nil, false, r.err
	}
	if id != "" {
		SetDocumentID(p, id)
	}
	return p, hasQuery, nil
}

// readString reads a string, or null, which leaves to as it is. It reports false for other values.
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

// ReadObject reads an object, or null, which leaves to as it is. It reports false for other values.
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
