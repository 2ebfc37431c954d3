package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/serve/jsonreader"
)

// FuzzPersistedQuery checks that a hash never names another query's text.
func FuzzPersistedQuery(f *testing.F) {
	sum := sha256.Sum256([]byte("{a}"))
	hash := hex.EncodeToString(sum[:])
	for _, extension := range []string{
		`{"version":1,"sha256Hash":"` + hash + `"}`, `{"version":"1","sha256Hash":"` + strings.ToUpper(hash) + `"}`, `1`, `null`, `{}`, `[]`,
		`{"version":1,"sha256Hash":""}`, `{"version":{"":[1]},"sha256Hash":"a"}`, `{"version":1.0,"sha256Hash":null}`,
	} {
		f.Add("{a}", extension)
		f.Add("", extension)
	}
	f.Fuzz(func(t *testing.T, query, extension string) {
		if !utf8.ValidString(extension) {
			return
		}
		r := jsonreader.New([]byte(extension), nil)
		params := &graphql.RawParams{Query: query, Extensions: map[string]any{"persistedQuery": r.Value()}}
		if !r.End() {
			return
		}
		queries := newNamedDocuments(nil, false)
		queries.persisted.Add(hash, "{a}", 1)
		_, store, errs := queries.resolve(params)
		if (store == nil) == (errs == nil) {
			t.Fatalf("%v, %v", store == nil, errs)
		}
		if errs != nil {
			return
		}
		if query == "" && params.Query != "" && params.Query != "{a}" || query != "" && params.Query != query {
			t.Errorf("%q is executed for %q", params.Query, query)
		}
		store()
		fields, named := params.Extensions["persistedQuery"].(map[string]any)
		if !named || params.Query == "{a}" {
			return
		}
		name, _ := fields["sha256Hash"].(string)
		of := sha256.Sum256([]byte(query))
		if kept, _ := queries.persisted.Get(name); name != hex.EncodeToString(of[:]) || kept != query {
			t.Errorf("%q is kept as %q", kept, name)
		}
	})
}
