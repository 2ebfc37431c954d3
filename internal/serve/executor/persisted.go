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

// maxPersisted bounds the texts of persisted queries, in bytes.
const maxPersisted = 4 << 20

// persistedQueries are queries that clients name by the SHA-256 of their text, once they have sent it: Apollo's
// automatic persisted queries.
type persistedQueries struct {
	byHash *lru.Cache[string, string]
}

func newPersistedQueries() *persistedQueries {
	return &persistedQueries{lru.New[string, string](maxPersisted)}
}

// resolve sets the query that params name by its hash. When they hold both, store keeps the query under its hash, for
// when it has turned out to be a valid one.
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
			// Clients know these words and send the text.
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
