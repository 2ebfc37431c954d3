package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"pullwatch/internal/serve/lru"
	"pullwatch/internal/usererr"
)

// maxPersisted bounds the cache of persisted queries, in bytes.
const maxPersisted = 4 << 20

// persistedQueries are Apollo's automatic persisted queries: a client sends a query's text once, and then the SHA-256 of the
// text instead.
type persistedQueries struct {
	byHash *lru.Cache[string, string]
}

func newPersistedQueries() *persistedQueries {
	return &persistedQueries{lru.New[string, string](maxPersisted)}
}

// resolve sets the text of a query that params name by its hash. If params have both, store caches the text. Call store when
// the query is known to be valid.
func (p *persistedQueries) resolve(params *graphql.RawParams) (store func(), errs gqlerror.List) {
	extension := params.Extensions["persistedQuery"]
	if extension == nil {
		return func() {}, nil
	}
	fields, _ := extension.(map[string]any)
	hash, _ := fields["sha256Hash"].(string)
	if fmt.Sprint(fields["version"]) != "1" || hash == "" {
		return nil, refusal(usererr.BadInput, `extensions.persistedQuery needs "version": 1 and a "sha256Hash"`)
	}
	if params.Query == "" {
		query, ok := p.byHash.Get(hash)
		if !ok {
			// Clients know this message. They then send the text.
			return nil, refusal(usererr.NotFound, "PersistedQueryNotFound")
		}
		params.Query = query
		return func() {}, nil
	}
	if sum := sha256.Sum256([]byte(params.Query)); hex.EncodeToString(sum[:]) != hash {
		return nil, refusal(usererr.BadInput, "sha256Hash is not the hash of the query in lower-case hexadecimal")
	}
	const fixed = 300
	return func() { p.byHash.Add(hash, params.Query, fixed+len(hash)+len(params.Query)) }, nil
}
