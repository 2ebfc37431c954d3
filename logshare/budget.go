package logshare

import "sync"

// Bounds of the memory for rings. A ring keeps between minBlocks and maxBlocks blocks; all together keep maxMemory.
const (
	blockSize = 32 << 10
	// minBlocks let a reader be a block behind while the next one is read.
	minBlocks = 2
	maxBlocks = 1 << 20 / blockSize
	// maxUpstreams is how many rings there may be at a time.
	maxUpstreams = 512
	maxMemory    = 64 << 20
)

// budget shares maxMemory out to rings: to each its minBlocks, and the rest to those who ask for it first.
type budget struct {
	mu              sync.Mutex
	upstreams, rest int
}

func newBudget() *budget {
	return &budget{upstreams: maxUpstreams, rest: maxMemory/blockSize - maxUpstreams*minBlocks}
}

// admit reserves the minBlocks of one ring, unless there are too many rings.
func (b *budget) admit() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.upstreams == 0 {
		return false
	}
	b.upstreams--
	return true
}

// spare reports whether there is room for rings that nobody reads: they leave half of it to others.
func (b *budget) spare() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.upstreams >= maxUpstreams/2
}

// extend grants one more block to a ring that has its minBlocks.
func (b *budget) extend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rest == 0 {
		return false
	}
	b.rest--
	return true
}

// release takes back what a ring of that many blocks had.
func (b *budget) release(blocks int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.upstreams++
	b.rest += max(blocks-minBlocks, 0)
}
