package cache

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pullwatch/internal/redis/pack"
)

func TestAListIsDecodedAsItWasEncoded(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		states := snapshotOf(n).Failed
		data, stamp, err := new(encoder).encode(states)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeStates(data, stamp)
		if err != nil || !reflect.DeepEqual(got, states) {
			t.Errorf("%d pulls: %d came back, %v", n, len(got), err)
		}
		again, stampAgain, _ := new(encoder).encode(states)
		if !bytes.Equal(again, data) || stampAgain != stamp {
			t.Errorf("%d pulls: not the same content again", n)
		}
	}
}

func TestDamagedContentIsRejected(t *testing.T) {
	whole, _, err := new(encoder).encode(snapshotOf(2).Active)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"nothing":       {},
		"no count":      pack.Pack(nil),
		"too few":       pack.Pack([]byte{9}),
		"cut off":       whole[:len(whole)-1],
		"longer":        append(bytes.Clone(whole), 0),
		"other packing": append([]byte{7}, whole[1:]...),
	} {
		if states, err := decodeStates(data, stampOf(data)); err == nil {
			t.Errorf("%s: %d pulls", name, len(states))
		}
	}
	if _, err := decodeStates(whole, strings.Repeat("0", 16)); err == nil {
		t.Error("a wrong stamp is not noticed")
	}
}

func FuzzDecodeStates(f *testing.F) {
	for _, n := range []int{0, 2, 300} {
		data, _, err := new(encoder).encode(snapshotOf(n).Active)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		states, err := decodeStates(data, stampOf(data))
		if err != nil {
			return
		}
		again, stamp, err := new(encoder).encode(states)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := decodeStates(again, stamp); err != nil || !reflect.DeepEqual(same, states) {
			t.Fatalf("%d pulls became %d, %v", len(states), len(same), err)
		}
	})
}
