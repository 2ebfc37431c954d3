package pullstate

import (
	"testing"

	"pullwatch/internal/pull"
)

// An upload that fails is taken back from the bytes, and the percentage is promised never to fall.
func TestPercentDoesNotFallWithTheBytes(t *testing.T) {
	total := int64(1000)
	p := progressOf(pull.Report{BytesDone: 100, BytesBest: 600, BytesTotal: &total}, true)
	if p.Percent != 60 || p.BytesDone != 100 {
		t.Errorf("%+v, want 60 percent with 100 bytes", p)
	}
}
