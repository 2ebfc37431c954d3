package podlog

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
)

// cursorVersion is the first byte of every cursor.
const cursorVersion = 1

// sourceKey names a container of a pod within a cursor.
type sourceKey uint64

func newSourceKey(podUID, container string) sourceKey { return sourceKey(digest(podUID, container)) }

// mark is where a batch leaves a container.
type mark struct {
	// run is a digest of the container ID.
	run      uint64
	position position
}

// encodeCursor writes the marks in the order of their keys: for each the key, the run, the seconds and nanoseconds of
// the timestamp, and the count, all but the first two as varints.
func encodeCursor(marks map[sourceKey]mark) string {
	buf := make([]byte, 1, 1+32*len(marks))
	buf[0] = cursorVersion
	for _, key := range slices.Sorted(maps.Keys(marks)) {
		m := marks[key]
		buf = binary.BigEndian.AppendUint64(buf, uint64(key))
		buf = binary.BigEndian.AppendUint64(buf, m.run)
		buf = binary.AppendVarint(buf, m.position.timestamp.Unix())
		buf = binary.AppendUvarint(buf, uint64(m.position.timestamp.Nanosecond()))
		buf = binary.AppendUvarint(buf, uint64(m.position.count))
	}
	return base64.RawURLEncoding.EncodeToString(buf)
}

// digest is short enough for a cursor; its parts are separated by a byte that no name has.
func digest(parts ...string) uint64 {
	h := fnv.New64a()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return h.Sum64()
}
