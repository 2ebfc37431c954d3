package logshare

import (
	"sync"

	"pullwatch/internal/budget"
)

// Bounds of the memory of a ring, in bytes: its blocks and its index of lines.
const (
	blockSize = 32 << 10
	// minBlocks is the least number of blocks: a reader may be in one while the other is filled.
	minBlocks = 2
	// minRing is for minBlocks, and an index for the shortest lines.
	minRing = 2 * minBlocks * blockSize
	maxRing = 1 << 20
)

// MaxMemory is how much memory the rings of a Source can use, in bytes. More would not save requests.
const MaxMemory = 64 << 20

// memory grants memory to rings: minRing to each, and at most half of all to rings that grow, first come, first served.
type memory struct {
	mu      sync.Mutex
	account *budget.Account
	// max is what all rings may have, used is what they have, grown is what they have beyond minRing, in bytes.
	max, used, grown int
}

// admit takes minRing for a new ring. It returns false if there is no memory.
func (m *memory) admit() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.take(minRing)
}

// spare reports whether there is room for rings without readers, which leave half of the memory to others.
func (m *memory) spare() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used <= m.max/2
}

// extend takes one more block for a ring. It returns false if there is no memory.
func (m *memory) extend() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.grown+blockSize > m.max/2 || !m.take(blockSize) {
		return false
	}
	m.grown += blockSize
	return true
}

// take takes memory. mu is held.
func (m *memory) take(bytes int) bool {
	if m.used+bytes > m.max || m.account.Take(budget.Logs, bytes) != nil {
		return false
	}
	m.used += bytes
	return true
}

// release gives back the memory of a ring.
func (m *memory) release(bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.account.Give(budget.Logs, bytes)
	m.used -= bytes
	m.grown -= bytes - minRing
}
