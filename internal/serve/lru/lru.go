// Package lru is a cache that is bounded in bytes and evicts the least recently used entry.
package lru

import (
	"container/list"
	"sync"
)

// Cache maps keys to values. When the weights of its entries exceed its bound, it evicts those that were not used for
// longest. Any number of goroutines may use it.
type Cache[K comparable, V any] struct {
	mu        sync.Mutex
	maxWeight int
	weight    int                 // of all entries
	entries   map[K]*list.Element // of *entry[K, V]
	order     list.List           // the entry used last is the first
}

type entry[K comparable, V any] struct {
	key    K
	value  V
	weight int
}

// New returns an empty Cache of entries that weigh at most maxWeight in total. Weights are in bytes, as its users estimate
// them.
func New[K comparable, V any](maxWeight int) *Cache[K, V] {
	return &Cache[K, V]{maxWeight: maxWeight, entries: map[K]*list.Element{}}
}

// Get returns the value of key, and whether there is one.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.get(key)
}

// GetOrAdd returns the value of key. If there is none, it adds value and returns that.
func (c *Cache[K, V]) GetOrAdd(key K, value V, weight int) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cached, ok := c.get(key); ok {
		return cached
	}
	c.add(key, value, weight)
	return value
}

// Add sets the value of key. It keeps none that weighs more than maxWeight.
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
	if weight > c.maxWeight {
		return
	}
	c.entries[key] = c.order.PushFront(&entry[K, V]{key, value, weight})
	c.weight += weight
	for c.weight > c.maxWeight {
		c.remove(c.order.Back())
	}
}

// Weight returns the weight of all entries.
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
