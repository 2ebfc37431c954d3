package kube

// recent is a map of at most limit keys. It forgets the oldest key first.
type recent[K comparable, V any] struct {
	limit  int
	values map[K]V
	order  []K // a ring once it is full
	next   int
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, values: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	v, ok := r.values[k]
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if _, known := r.values[k]; !known {
		if len(r.order) < r.limit {
			r.order = append(r.order, k)
		} else {
			delete(r.values, r.order[r.next])
			r.order[r.next] = k
			r.next = (r.next + 1) % r.limit
		}
	}
	r.values[k] = v
}
