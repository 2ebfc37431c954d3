package mirror

import (
	"math"
	"net/http"
	"testing"
)

// A registry may ask for any size of pieces. Sums with it must not overflow.
func TestTheSizeOfPiecesThatARegistryAsksForIsBounded(t *testing.T) {
	for header, want := range map[string]int64{
		"":                    0,
		"a lot":               0,
		"1048576":             1 << 20,
		"9223372036854775807": 1 << 40,
	} {
		got := leastPiece(&http.Response{Header: http.Header{"Oci-Chunk-Min-Length": {header}}})
		if got != want || got > math.MaxInt64/2 {
			t.Errorf("%q is %d, want %d", header, got, want)
		}
	}
}
