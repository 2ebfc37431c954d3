package render

import (
	"bytes"
	"context"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/pull"
)

// A response that shows active pulls and nothing else is made of pieces, one for each pull. A piece depends on the
// operation and the pull's state only. So when the list has changed, only pulls that have changed are executed again:
// a few of thousands.

// pieces are the last response to a query, cut into pieces. A nil pieces has none.
type pieces struct {
	data   []byte
	byPull map[string]piece // by the pull's id
}

// piece is the place of a state in the response.
type piece struct {
	state      *pull.State
	start, end int
}

// text returns the piece of a state, or nil if the response does not show that state.
func (p *pieces) text(state *pull.State) []byte {
	if p == nil {
		return nil
	}
	piece, ok := p.byPull[state.ID]
	if !ok || !sameState(piece.state, state) {
		return nil
	}
	return p.data[piece.start:piece.end]
}

// changed returns the states that the response does not show.
func (p *pieces) changed(states []*pull.State) []*pull.State {
	var changed []*pull.State
	for _, state := range states {
		if p.text(state) == nil {
			changed = append(changed, state)
		}
	}
	return changed
}

// sameState reports whether a and b are the same state of a pull. Different states have different positions. Only messages may say more
// than the state does.
func sameState(a, b *pull.State) bool {
	return a == b || a.Position != (pull.Position{}) && a.Position == b.Position && a.Revision == b.Revision && a.Message == b.Message
}

// renderList executes a query that shows the active pulls and nothing else. It executes only the pulls that have changed. The
// error says that there is no memory for it.
func (r *Renderer) renderList(ctx context.Context, next graphql.OperationHandler, c *cachedQuery, v *view) (*graphql.Response, error) {
	states, last := v.active.result.States, c.lastPieces()
	changed := last.changed(states)
	var fresh *pieces
	if len(changed) > 0 {
		changedView := *v
		changedView.active.result.States = changed
		response, err := r.execute(context.WithValue(ctx, viewKey{}, &changedView), next, len(changed), len(states))
		if err != nil || len(changed) == len(states) {
			return response, err
		}
		if fresh = cut(response, c.reads.activeList, changed); fresh == nil { // there are errors, whose paths have indexes of the list
			return r.execute(ctx, next, len(states), len(states))
		}
	}
	data := append(make([]byte, 0, last.length()+fresh.length()), listStart(c.reads.activeList)...)
	for i, state := range states {
		if i > 0 {
			data = append(data, ',')
		}
		text := fresh.text(state)
		if text == nil {
			text = last.text(state)
		}
		data = append(data, text...)
	}
	return &graphql.Response{Data: append(data, listEnd...)}, nil
}

// length returns the length of the response, in bytes.
func (p *pieces) length() int {
	if p == nil {
		return 0
	}
	return len(p.data)
}

// bytesPerPiece is what a piece takes in memory in addition to its text.
const bytesPerPiece = 120

func (c *cachedQuery) lastPieces() *pieces {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pieces
}

func (c *cachedQuery) setPieces(p *pieces) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pieces = p
}

// listStart and listEnd are how gqlgen begins and ends a response that has one list.
const listEnd = "]}"

func listStart(name string) string { return `{"` + name + `":[` }

// cut cuts a response that shows states in a list of that name into pieces. It returns nil for any other response.
func cut(response *graphql.Response, name string, states []*pull.State) *pieces {
	if response == nil || len(response.Errors) > 0 || len(response.Extensions) > 0 {
		return nil
	}
	data, start := response.Data, listStart(name)
	if !bytes.HasPrefix(data, []byte(start)) || !bytes.HasSuffix(data, []byte(listEnd)) {
		return nil
	}
	p := &pieces{data: data, byPull: make(map[string]piece, len(states))}
	at, last := len(start), len(data)-len(listEnd)
	for i, state := range states {
		if i > 0 {
			if at >= last || data[at] != ',' {
				return nil
			}
			at++
		}
		end := objectEnd(data[:last], at)
		if end < 0 {
			return nil
		}
		p.byPull[state.ID] = piece{state, at, end}
		at = end
	}
	if at != last {
		return nil
	}
	return p
}

// objectEnd returns the end of the JSON object that begins at start, or -1 if there is none.
func objectEnd(data []byte, start int) int {
	if start >= len(data) || data[start] != '{' {
		return -1
	}
	depth := 0
	for i := start; i < len(data); i++ {
		switch data[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		}
	}
	return -1
}
