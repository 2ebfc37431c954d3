package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/jsonreader"
	"pullwatch/internal/serve/lru"
	"pullwatch/internal/serve/trusted"
	"pullwatch/internal/usererr"
)

// maxPersisted bounds the cache of persisted queries, in bytes.
const maxPersisted = 4 << 20

// namedDocuments are the documents that requests name instead of sending their text: trusted documents, by their ids, and
// Apollo's automatic persisted queries. Of those a client sends the text once, and then the SHA-256 of the text.
type namedDocuments struct {
	trusted *trusted.Documents
	// onlyTrusted means that no other document is executed.
	onlyTrusted bool
	persisted   *lru.Cache[string, string] // by hash
}

func newNamedDocuments(documents *trusted.Documents, onlyTrusted bool) *namedDocuments {
	return &namedDocuments{documents, onlyTrusted, lru.New[string, string](maxPersisted)}
}

// resolve sets the text of a document that params name, and checks that the document may be executed. If params have a text
// and its hash, store caches the text. Call store when the document is known to be valid. trust is empty if there is no document
// to speak of.
func (n *namedDocuments) resolve(params *graphql.RawParams) (trust trusted.Trust, store func(), errs gqlerror.List) {
	id := jsonreader.DocumentID(params)
	hash, errs := persistedHash(params)
	store = func() {}
	switch {
	case errs != nil:
		return "", nil, errs
	case id != "" && (params.Query != "" || hash != ""):
		return "", nil, refusal(usererr.BadInput, `a request has one of "query", "documentId" and extensions.persistedQuery`)
	case id != "":
		text, ok := n.trusted.Find(id)
		if !ok {
			return trusted.Unknown, nil, n.unknown("documentId", id)
		}
		params.Query = text
	case params.Query == "" && hash == "":
		return "", nil, refusal(usererr.BadInput, `the request has no document: "query" is empty`)
	case params.Query == "":
		text, ok := n.trusted.Find(hash)
		if !ok && n.onlyTrusted {
			return trusted.Unknown, nil, n.unknown("sha256Hash", hash)
		}
		if !ok {
			text, ok = n.persisted.Get(hash)
		}
		if !ok {
			// Clients know this message. They then send the text.
			return "", nil, refusal(usererr.NotFound, "PersistedQueryNotFound")
		}
		params.Query = text
	case hash != "":
		if named, ok := n.trusted.Find(hash); ok && named == params.Query {
			break // its id need not be a SHA-256
		}
		if sum := sha256.Sum256([]byte(params.Query)); hex.EncodeToString(sum[:]) != hash {
			return "", nil, refusal(usererr.BadInput, "sha256Hash is not the hash of the query in lower-case hexadecimal")
		}
		const fixed = 300
		store = func() { n.persisted.Add(hash, params.Query, fixed+len(hash)+len(params.Query)) }
	}
	if trust = n.trusted.Of(params.Query); trust == trusted.Other && n.onlyTrusted {
		return trusted.Refused, nil, refusal(usererr.Forbidden, "this server executes only the documents that its operator trusts "+
			"(--only-trusted), and this is none of them: have it added to a file of --trusted-documents")
	}
	return trust, store, nil
}

// unknown returns the refusal of a document whose id is in no manifest.
func (n *namedDocuments) unknown(parameter, id string) gqlerror.List {
	if n.trusted == nil {
		return refusal(usererr.NotFound, "this server knows no document of the %s %.100q, as it has no --trusted-documents: send the query", parameter, id)
	}
	advice := "have its file added to them, or send the query"
	if n.onlyTrusted {
		advice = "have its file added to them"
	}
	return refusal(usererr.NotFound, "no file of this server's --trusted-documents has a document of the %s %.100q: %s", parameter, id, advice)
}

// persistedHash returns the hash of a persisted query. It is empty if params have none.
func persistedHash(params *graphql.RawParams) (string, gqlerror.List) {
	extension := params.Extensions["persistedQuery"]
	if extension == nil {
		return "", nil
	}
	fields, _ := extension.(map[string]any)
	hash, _ := fields["sha256Hash"].(string)
	if fmt.Sprint(fields["version"]) != "1" || hash == "" {
		return "", refusal(usererr.BadInput, `extensions.persistedQuery needs "version": 1 and a "sha256Hash"`)
	}
	return hash, nil
}
