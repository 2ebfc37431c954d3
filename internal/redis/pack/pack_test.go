package pack

import (
	"bytes"
	"testing"
)

func TestUnpackReturnsWhatWasPacked(t *testing.T) {
	var buffer []byte
	for _, n := range []int{0, 1, threshold, threshold + 1, 1 << 20} {
		value := bytes.Repeat([]byte("pull "), n/5+1)[:n]
		buffer = PackInto(buffer, value)
		packed := buffer
		if !bytes.Equal(packed, Pack(value)) {
			t.Errorf("%d bytes are packed otherwise into a buffer", n)
		}
		if got, err := Unpack(packed); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%d bytes: %d came back, %v", n, len(got), err)
		}
		if n > threshold && len(packed) > n/2 {
			t.Errorf("%d bytes were packed into %d", n, len(packed))
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add(Pack([]byte("short")))
	f.Add(Pack(make([]byte, 10_000)))
	f.Add([]byte{compressed, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, packed []byte) {
		value, err := Unpack(packed)
		if err != nil {
			return
		}
		if again, err := Unpack(Pack(value)); err != nil || !bytes.Equal(again, value) {
			t.Errorf("%d bytes became %d, %v", len(value), len(again), err)
		}
	})
}
