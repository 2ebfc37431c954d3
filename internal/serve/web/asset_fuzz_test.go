package web

import (
	"strings"
	"testing"
)

// FuzzAcceptsGzip checks that nothing is compressed for clients that do not accept it.
func FuzzAcceptsGzip(f *testing.F) {
	for _, seed := range []string{"", "gzip", "gzip, deflate, br", "br;q=1, GZIP ; q=0.8", "gzip;q=0", "gzip;q=x", "gzip;q=NaN", "x-gzip", "gzip;a=\",\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := acceptsGzip([]string{header})
		if got && !strings.Contains(strings.ToLower(header), "gzip") {
			t.Error("it is not named")
		}
		if acceptsGzip([]string{"gzip;q=0", header}) {
			t.Error("it is used although its quality is zero")
		}
		if !acceptsGzip([]string{"gzip", header}) {
			t.Error("it is not used although it is accepted")
		}
		if acceptsGzip(strings.Split(header, ",")) != got {
			t.Errorf("in lines: %t", !got)
		}
	})
}
