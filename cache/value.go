package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"pullwatch/internal/pull"
	"pullwatch/internal/redis/pack"
)

// A list's content in Redis is packed (package pack). It is the number of states and, for each, the length of its binary form and
// that form. The stamp is its checksum: the same content has the same stamp, whoever wrote it.

var (
	errChecksum = errors.New("its checksum is wrong")
	errEnd      = errors.New("it does not end where it should")
)

// encoder keeps its buffers: a leader encodes lists of megabytes several times a second.
type encoder struct{ one, content, data []byte }

// encode returns the content of a list, which is valid until the next call, and its stamp.
func (e *encoder) encode(states []*pull.State) (data []byte, stamp string, err error) {
	e.content = binary.AppendUvarint(e.content[:0], uint64(len(states)))
	for _, state := range states {
		if e.one, err = state.AppendBinary(e.one[:0]); err != nil {
			return nil, "", fmt.Errorf("encode pull %s: %w", state.ID, err)
		}
		e.content = binary.AppendUvarint(e.content, uint64(len(e.one)))
		e.content = append(e.content, e.one...)
	}
	e.data = pack.PackInto(e.data, e.content)
	return e.data, stampOf(e.data), nil
}

// decodeStates returns the states in a list's content.
func decodeStates(data []byte, stamp string) ([]*pull.State, error) {
	if stampOf(data) != stamp {
		return nil, errChecksum
	}
	content, err := pack.Unpack(data)
	if err != nil {
		return nil, err
	}
	count, content, ok := cutUvarint(content)
	if !ok || count > uint64(len(content)) {
		return nil, errEnd
	}
	states := make([]*pull.State, count)
	for i := range states {
		var size uint64
		if size, content, ok = cutUvarint(content); !ok || size > uint64(len(content)) {
			return nil, errEnd
		}
		states[i] = new(pull.State)
		if err := states[i].UnmarshalBinary(content[:size]); err != nil {
			return nil, err
		}
		content = content[size:]
	}
	if len(content) > 0 {
		return nil, errEnd
	}
	return states, nil
}

// cutUvarint returns the number at the beginning of b, and what follows it.
func cutUvarint(b []byte) (n uint64, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

func stampOf(data []byte) string { return strconv.FormatUint(xxhash.Sum64(data), 16) }
