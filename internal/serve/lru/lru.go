// Package lru keeps what was used last, within a bound in bytes.
package lru

import (
	"container/list"
	"sync"
)

// Cache maps keys to values. It forgets what was not used for longest as soon as all that it keeps weighs more than it
// may. It is for any number of goroutines.
type Cache[K comparable, V any] struct {
	mu       sync.Mutex
	heaviest int
	weight   int
	entries  map[K]*list.Element // of *entry[K, V]
	order    list.List           // the one used last in front
}

type entry[K comparable, V any] struct {
	key    K
	value  V
	weight int
}

// New returns an empty Cache that keeps values of a weight of at most maxWeight in total. Weights are in bytes, as their
// users estimate them.
func New[K comparable, V any](maxWeight int) *Cache[K, V] {
	return &Cache[K, V]{heaviest: maxWeight, entries: map[K]*list.Element{}}
}

// Get returns the value of key, and whether there is one.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.get(key)
}

// GetOrAdd returns the value of key; when there is none, it adds the one that is given.
func (c *Cache[K, V]) GetOrAdd(key K, value V, weight int) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, ok := c.get(key); ok {
		return kept
	}
	c.add(key, value, weight)
	return value
}

// Add keeps value in the place of what key had. A value that weighs more than all may together is not kept.
func (c *Cache[K, V]) Add(key K, value V, weight int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(key, value, weight)
}

func (c *Cache[K, V]) get(key K) (value V, ok bool) {
	element := c.entries[key]
	if element == nil {
		return value, false
	}
	c.order.MoveToFront(element)
	return element.Value.(*entry[K, V]).value, true
}

func (c *Cache[K, V]) add(key K, value V, weight int) {
	c.remove(c.entries[key])
	if weight > c.heaviest {
		return
	}
	c.entries[key] = c.order.PushFront(&entry[K, V]{key, value, weight})
	c.weight += weight
	for c.weight > c.heaviest {
		c.remove(c.order.Back())
	}
}

// Weight returns how much all that is kept weighs.
func (c *Cache[K, V]) Weight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.weight
}

func (c *Cache[K, V]) remove(element *list.Element) {
	if element == nil {
		return
	}
	e := c.order.Remove(element).(*entry[K, V])
	c.weight -= e.weight
	delete(c.entries, e.key)
}
