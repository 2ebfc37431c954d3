package render

import (
	"bytes"
	"context"

	"github.com/99designs/gqlgen/graphql"

	"pullwatch/internal/pull"
)

// A response that shows active pulls and nothing else is made of pieces, one for each pull. A piece depends on the
// operation and the pull's state only. So when the list has changed, only pulls that have changed are executed again:
// of a list of thousands, a few.

// pieces are where the pulls stand in the last response to a query.
type pieces struct {
	data []byte
	of   map[string]piece // by the pull's id
}

// piece is a pull's state, and from where to where in the response it is shown.
type piece struct {
	job        *pull.State
	start, end int
}

// shown returns how a state is shown, or nil if it is not among p, which may be nil.
func (p *pieces) shown(job *pull.State) []byte {
	if p == nil {
		return nil
	}
	known, ok := p.of[job.ID]
	if !ok || !sameState(known.job, job) {
		return nil
	}
	return p.data[known.start:known.end]
}

// changed returns the jobs that are not shown as they are.
func (p *pieces) changed(jobs []*pull.State) []*pull.State {
	var changed []*pull.State
	for _, job := range jobs {
		if p.shown(job) == nil {
			changed = append(changed, job)
		}
	}
	return changed
}

// sameState reports whether two are the same state of a pull, as which no other one has its position.
func sameState(a, b *pull.State) bool {
	return a == b || a.Position != (pull.Position{}) && a.Position == b.Position && a.Revision == b.Revision
}

// renderList executes a query that shows the active pulls and nothing else, as far as they have changed. It returns the
// response, or why there is no room for that.
func (r *Renderer) renderList(ctx context.Context, next graphql.OperationHandler, a *cachedQuery, v *view) (*graphql.Response, error) {
	jobs, last := v.active.result.States, a.lastPieces()
	changed := last.changed(jobs)
	var fresh *pieces
	if len(changed) > 0 {
		changedView := *v
		changedView.active.result.States = changed
		response, err := r.run(context.WithValue(ctx, viewKey{}, &changedView), next, len(changed), len(jobs))
		if err != nil || len(changed) == len(jobs) {
			return response, err
		}
		if fresh = cut(response, a.reads.only, changed); fresh == nil { // there are errors, which tell where in the list they are
			return r.run(ctx, next, len(jobs), len(jobs))
		}
	}
	data := append(make([]byte, 0, len(last.text())+len(fresh.text())), listStart(a.reads.only)...)
	for i, job := range jobs {
		if i > 0 {
			data = append(data, ',')
		}
		text := fresh.shown(job)
		if text == nil {
			text = last.shown(job)
		}
		data = append(data, text...)
	}
	return &graphql.Response{Data: append(data, listEnd...)}, nil
}

// text returns all of the response that p, which may be nil, is of.
func (p *pieces) text() []byte {
	if p == nil {
		return nil
	}
	return p.data
}

// bytesPerPiece is what a piece takes besides its text.
const bytesPerPiece = 120

func (a *cachedQuery) lastPieces() *pieces {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pieces
}

func (a *cachedQuery) keepPieces(p *pieces) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pieces = p
}

// How gqlgen writes a response that has one list.
const listEnd = "]}"

func listStart(name string) string { return `{"` + name + `":[` }

// cut returns the pieces of a response that shows jobs under a name; nil if that is not what the response does.
func cut(response *graphql.Response, name string, jobs []*pull.State) *pieces {
	if response == nil || len(response.Errors) > 0 || len(response.Extensions) > 0 {
		return nil
	}
	data, start := response.Data, listStart(name)
	if !bytes.HasPrefix(data, []byte(start)) || !bytes.HasSuffix(data, []byte(listEnd)) {
		return nil
	}
	p := &pieces{data: data, of: make(map[string]piece, len(jobs))}
	at, last := len(start), len(data)-len(listEnd)
	for i, job := range jobs {
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
		p.of[job.ID] = piece{job, at, end}
		at = end
	}
	if at != last {
		return nil
	}
	return p
}

// objectEnd returns where a JSON object ends that begins at start; -1 if there is none.
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
