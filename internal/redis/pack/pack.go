// Package pack compresses large values for Redis.
package pack

import (
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Values longer than this, in bytes, are compressed. With shorter ones the round trip costs more than their length.
const threshold = 4 << 10

// maxUnpacked bounds the bytes that Unpack returns, as somebody else may have written the value.
const maxUnpacked = 256 << 20

// The first byte of a packed value.
const (
	plain      = 0
	compressed = 1
)

// ErrOtherForm means that another version of pullwatch has packed a value.
var ErrOtherForm = errors.New("it is packed in a form of another version")

// Pack returns value, compressed if it is long, behind a byte that says whether it is. Unpack reads it.
func Pack(value []byte) []byte { return PackInto(nil, value) }

// PackInto is Pack, but it overwrites buffer instead of allocating memory, if buffer is large enough.
func PackInto(buffer, value []byte) []byte {
	if len(value) <= threshold {
		return append(append(buffer[:0], plain), value...)
	}
	packed := slices.Grow(buffer[:0], 1+s2.MaxEncodedLen(len(value)))
	packed = packed[:cap(packed)]
	packed[0] = compressed
	return packed[:1+len(s2.Encode(packed[1:], value))]
}

// Unpack returns the value that was packed. The error is ErrOtherForm when its first byte is not known. The result may share memory with packed.
func Unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, errors.New("unpack: the value is empty")
	}
	rest := packed[1:]
	switch packed[0] {
	case plain:
		return rest, nil
	case compressed:
		n, err := s2.DecodedLen(rest)
		if err == nil && n > maxUnpacked {
			err = fmt.Errorf("%d bytes are too many", n)
		}
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		value, err := s2.Decode(nil, rest)
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		return value, nil
	default:
		return nil, fmt.Errorf("unpack: %w: %d", ErrOtherForm, packed[0])
	}
}
