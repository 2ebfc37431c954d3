package logshare

import (
	"sync"

	"pullwatch/internal/budget"
)

// Bounds of the memory of a ring, in bytes: its blocks and its index of lines.
const (
	blockSize = 32 << 10
	// minBlocks let a reader be a block behind while the next one is read.
	minBlocks = 2
	// minRing are minBlocks, and an index for the shortest lines.
	minRing = 2 * minBlocks * blockSize
	maxRing = 1 << 20
)

// MaxMemory is what all rings of a Source may take at the most, in bytes. More would not spare a cluster more.
const MaxMemory = 64 << 20

// memory shares out what rings may take: to each its minRing, and half of it, at the most, to those who ask first for
// more.
type memory struct {
	mu      sync.Mutex
	account *budget.Account
	// max is what all rings may have, used what they have, and grown what they have beyond minRing.
	max, used, grown int
}

// admit takes the minRing of one ring, unless there is no memory for it.
func (m *memory) admit() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.take(minRing)
}

// spare reports whether there is room for rings that nobody reads: they leave half of it to others.
func (m *memory) spare() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used <= m.max/2
}

// extend takes one more block for a ring that has its minRing.
func (m *memory) extend() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.grown+blockSize > m.max/2 || !m.take(blockSize) {
		return false
	}
	m.grown += blockSize
	return true
}

// take is called with mu held.
func (m *memory) take(bytes int) bool {
	if m.used+bytes > m.max || m.account.Take(budget.Logs, bytes) != nil {
		return false
	}
	m.used += bytes
	return true
}

// release takes back what a ring had.
func (m *memory) release(bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.account.Give(budget.Logs, bytes)
	m.used -= bytes
	m.grown -= bytes - minRing
}
