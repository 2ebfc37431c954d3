package render

import (
	"encoding/json"
	"sync"

	"pullwatch/internal/serve/graphqlhttp"
)

// staleBody is the body of a rendering while its lists are stale: an outage lasts, and all who ask meanwhile get the same.
type staleBody struct {
	mu   sync.Mutex
	of   staleness
	body *graphqlhttp.Body // nil before it is needed
}

// body returns the body of a rendering that is done and can be shared, with the extensions that old asks for. It is nil if there
// is no room for a body with extensions beside the one without.
func (r *Renderer) body(key queryKey, c *cachedQuery, rendered *rendering, old staleness) *graphqlhttp.Body {
	if old == (staleness{}) {
		return rendered.body
	}
	s := &rendered.stale
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body != nil && s.of == old {
		return s.body
	}
	const before, between, after = `{"data":`, `,"extensions":`, `}`
	extensions, err := json.Marshal(old.extensions(c.reads))
	size := len(before) + len(rendered.response.Data) + len(between) + len(extensions) + len(after)
	weight := rendered.weight + 2*size
	if err != nil || weight > r.options.MaxKept {
		return nil
	}
	text := make([]byte, 0, size)
	text = append(append(text, before...), rendered.response.Data...)
	text = append(append(append(text, between...), extensions...), after...)
	s.of, s.body = old, graphqlhttp.NewBody(text)
	r.responses.Add(key, c, weight)
	return s.body
}
