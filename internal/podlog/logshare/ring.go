package logshare

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	lineSize = int(unsafe.Sizeof(line{}))
	// lineStep is by how many lines an index grows at least.
	lineStep = 512
	// blockLines is how many lines can begin in a block. The shortest line is a timestamp alone.
	blockLines = blockSize/len("2000-01-01T00:00:00Z \n") + 1
)

// ring holds the most recent part of an upstream. Offsets are in bytes from the upstream's beginning. Bytes in it never
// change, so that readers may copy them while the ring moves on.
type ring struct {
	// blocks have blockSize bytes each. The first one begins at offset start. The last one is filled up to offset head.
	blocks      [][]byte
	start, head int64
	// lines are those that begin within the ring. They are a part of index, so that cap(index) is their memory.
	lines, index []line
	// count is the number of lines since the upstream's beginning.
	count int
	// granted is how many bytes of memory the ring may have.
	granted int
	// before is the latest timestamp that a line before the ring may have: noTime when there is no such line, anyTime when the
	// timestamp is not known.
	before int64
	scan   scanner
	// bytes is the memory of all rings. counted is the part of it that is this ring's.
	bytes   prometheus.Gauge
	counted int
}

func newRing(before int64, bytes prometheus.Gauge) ring {
	return ring{granted: minRing, before: before, scan: newScanner(), bytes: bytes}
}

// mustEvict reports whether the oldest block must be evicted before the ring can take more. It calls mayGrow for each blockSize
// beyond minRing. A ring can have more than granted only if lines are shorter than timestamps, which a cluster does not send.
func (r *ring) mustEvict(mayGrow func() bool) bool {
	if r.free() > 0 || len(r.blocks) < minBlocks {
		return false
	}
	index := max(cap(r.index), indexSize(len(r.lines)+blockLines))
	for (len(r.blocks)+1)*blockSize+index*lineSize > r.granted {
		if r.granted+blockSize > maxRing || !mayGrow() {
			return true
		}
		r.granted += blockSize
	}
	return false
}

// size is how many bytes the ring has.
func (r *ring) size() int { return len(r.blocks)*blockSize + cap(r.index)*lineSize }

// recount brings the gauge in line with size.
func (r *ring) recount() {
	size := r.size()
	r.bytes.Add(float64(size - r.counted))
	r.counted = size
}

// discard frees the ring's memory. The ring is not used any more.
func (r *ring) discard() {
	r.blocks, r.lines, r.index = nil, nil, nil
	r.recount()
}

// space returns where to put the next bytes. Others may read the ring while space is filled.
func (r *ring) space() []byte {
	if r.free() == 0 {
		r.blocks = append(r.blocks, make([]byte, blockSize))
		r.recount()
	}
	return r.blocks[len(r.blocks)-1][blockSize-r.free():]
}

// free is how many bytes of the last block are free.
func (r *ring) free() int64 { return r.start + int64(len(r.blocks))*blockSize - r.head }

// evict drops the oldest block. The block is not reused: readers may still copy from it.
func (r *ring) evict() {
	r.blocks = slices.Delete(r.blocks, 0, 1)
	r.start += blockSize
	r.recount()
	gone := r.lineAt(r.start)
	for _, l := range r.lines[:gone] {
		if l.time == noTime {
			r.before = anyTime
		}
		r.before = max(r.before, l.time)
	}
	r.lines = r.lines[gone:]
}

// add adds n bytes that were put into space.
func (r *ring) add(n int) {
	known, piece := len(r.lines), r.piece(r.head, r.head+int64(n))
	r.reserve(1 + bytes.Count(piece, []byte("\n")))
	r.lines = r.scan.scan(piece, r.lines)
	r.head += int64(n)
	r.count += len(r.lines) - known
	if r.before == anyTime && known == 0 && r.start == 0 && len(r.lines) > 0 && r.lines[0].time != noTime {
		r.before = r.lines[0].time
	}
}

// indexSize is the capacity of an index for n lines: a quarter more, so that it is seldom moved.
func indexSize(n int) int { return (n+n/4)/lineStep*lineStep + lineStep }

// reserve makes room for n more lines. It moves the lines to the beginning of the index if that has much room, or else to
// a new index. append alone would take memory that is not counted.
func (r *ring) reserve(n int) {
	n += len(r.lines)
	if n <= cap(r.lines) {
		return
	}
	if size := indexSize(n); size > cap(r.index) || size < cap(r.index)/4 {
		r.index = make([]line, 0, size)
	}
	r.lines = append(r.index, r.lines...)
	r.recount()
}

// finish is called at the end of the upstream.
func (r *ring) finish() {
	r.reserve(1)
	r.lines = r.scan.finish(r.lines)
}

// whole is the offset where the last whole line ends.
func (r *ring) whole() int64 { return r.scan.lineStart }

// dated is the offset up to which the timestamps of lines are known.
func (r *ring) dated() int64 {
	if r.scan.found {
		return r.head
	}
	return r.scan.lineStart
}

// lastTimed returns the offset of the last line, if it has a timestamp and the ring holds all of it. It is called after
// finish.
func (r *ring) lastTimed() (start int64, ok bool) {
	if len(r.lines) == 0 || r.scan.ordered == unordered {
		return 0, false
	}
	last := r.lines[len(r.lines)-1]
	return last.start, last.time != noTime
}

// sameEnd reports whether two rings end with the same line. It is called after finish.
func sameEnd(a, b *ring) bool {
	atA, okA := a.lastTimed()
	atB, okB := b.lastTimed()
	return okA && okB && a.head-atA == b.head-atB && sameBytes(a, atA, b, atB, a.head-atA)
}

// lineAt returns the index of the first line that begins at offset or later.
func (r *ring) lineAt(offset int64) int {
	return sort.Search(len(r.lines), func(i int) bool { return r.lines[i].start >= offset })
}

// beginsLine reports whether a line begins at offset, or the next one will.
func (r *ring) beginsLine(offset int64) bool {
	i := r.lineAt(offset)
	return offset == r.whole() || i < len(r.lines) && r.lines[i].start == offset
}

// wholeLines returns the lines that are whole.
func (r *ring) wholeLines() []line { return r.lines[:r.lineAt(r.whole())] }

// lineEnd returns the offset where lines[i] ends, or where its received part ends.
func (r *ring) lineEnd(i int) int64 {
	if i+1 < len(r.lines) {
		return r.lines[i+1].start
	}
	if r.scan.found {
		return r.head
	}
	return r.whole()
}

// piece returns the bytes from one offset up to another, or up to the end of the block.
func (r *ring) piece(from, to int64) []byte {
	block := (from - r.start) / blockSize
	begin := r.start + block*blockSize
	return r.blocks[block][from-begin : min(to-begin, blockSize)]
}

// sameBytes compares n bytes at an offset of each ring.
func sameBytes(a *ring, atA int64, b *ring, atB, n int64) bool {
	for n > 0 {
		x, y := a.piece(atA, atA+n), b.piece(atB, atB+n)
		m := min(len(x), len(y))
		if !bytes.Equal(x[:m], y[:m]) {
			return false
		}
		atA, atB, n = atA+int64(m), atB+int64(m), n-int64(m)
	}
	return true
}

// find returns the offset in r of the line that begins at offset in other. It compares the lines before: all with the
// timestamp of the last one, and the one before them. ok is false when r does not hold these lines in its part with rising
// timestamps, or when no line begins at offset.
func (r *ring) find(other *ring, offset int64) (_ int64, ok bool) {
	if !other.beginsLine(offset) {
		return 0, false
	}
	last := other.lineAt(offset) - 1
	first := last
	for first > 0 && other.lines[first-1].time == other.lines[last].time {
		first--
	}
	if first < 1 || last-first >= maxSameTime {
		return 0, false
	}
	lines := r.wholeLines()
	ordered := r.lineAt(r.scan.ordered)
	if ordered >= len(lines) {
		return 0, false
	}
	lines = lines[ordered:]
	i, found := slices.BinarySearchFunc(lines, other.lines[last].time, func(l line, time int64) int {
		return cmp.Compare(l.time, time)
	})
	i--
	n := last - first + 2
	if !found || i < 0 || i+n > len(lines) {
		return 0, false
	}
	begin, end := lines[i].start, r.lineEnd(ordered+i+n-1)
	otherBegin := other.lines[first-1].start
	if end-begin != offset-otherBegin || !sameBytes(r, begin, other, otherBegin, end-begin) {
		return 0, false
	}
	return end, true
}

// maxSameTime bounds how many lines with the same timestamp are compared.
const maxSameTime = 256
