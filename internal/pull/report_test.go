package pull

import (
	"strings"
	"testing"
	"time"
)

func TestTheCopiersLinesReadWellAndAreReadBack(t *testing.T) {
	at := time.UnixMilli(1_763_772_000_123).UTC()
	for want, r := range map[string]Report{
		"Reading docker.io/library/nginx:1.27 [t=1763772000123 done=0]": {Time: at, Message: "Reading docker.io/library/nginx:1.27"},
		"Copying: 642 MB of 1.4 GB at 13 MB/s [t=1763772000123 done=641728512 total=1395864371 rate=12897484]": {
			Time: at, Message: "Copying", BytesDone: 641_728_512, BytesTotal: new(int64(1_395_864_371)), BytesPerSecond: 12_897_484,
		},
		"Copying [t=1763772000123 done=1 total=9 rate=0 best=5 image=sha256:0aa]": {
			Time: at, Message: "Copying", Image: "sha256:0aa", BytesDone: 1, BytesBest: 5, BytesTotal: new(int64(9)),
		},
		"Reading manifests [t=1763772000123 done=0 image=sha256:0aa]": {Time: at, Message: "Reading manifests", Image: "sha256:0aa"},
	} {
		if back, ok := ParseReport(want); !ok || back.Image != r.Image || back.BytesBest != r.BytesBest || back.Message != r.Message {
			t.Errorf("%s was read as %+v", want, back)
		}
		if got := r.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add("Copying: 1 B of 2 B at 3 B/s", int64(1), int64(2), int64(3), true, int64(5))
	f.Add("", int64(1), int64(2), int64(0), true, int64(5))
	f.Add("a [t=1 done=2]", int64(0), int64(0), int64(0), false, int64(0))
	f.Fuzz(func(t *testing.T, message string, done, total, rate int64, known bool, at int64) {
		for _, n := range []*int64{&done, &total, &rate} {
			*n = max(*n, 0) % 1e18
		}
		r := Report{Time: time.UnixMilli(max(at, 0) % 1e15).UTC(), Message: message, BytesDone: done}
		if known {
			r.BytesTotal, r.BytesPerSecond = &total, rate
		}
		line := r.String()
		if strings.ContainsAny(line, "\r\n") {
			t.Fatalf("more than one line: %q", line)
		}
		got, ok := ParseReport(line)
		if ok != (got.Message != "") {
			t.Fatalf("%q: %v, %+v", line, ok, got)
		}
		if ok && got.String() != line {
			t.Errorf("%q became %q", line, got.String())
		}
	})
}

func TestTheMessageSaysHowMuchWasCopied(t *testing.T) {
	for want, o := range map[string]Outcome{
		"Copied 900 B": {BytesTotal: 900, BytesCopied: 900, ManifestsWritten: 1},
		"Copied 900 B: 500 B copied, 300 B mounted, 100 B found there": {BytesTotal: 900, BytesCopied: 500, BytesMounted: 300, ManifestsWritten: 1},
		"Copied 900 B: 900 B mounted":                                  {BytesTotal: 900, BytesMounted: 900, ManifestsWritten: 1},
		"Copied 900 B: 900 B found there, only manifests written":      {BytesTotal: 900, ManifestsWritten: 1},
		"Already there, nothing was written":                           {BytesTotal: 900},
	} {
		if got := o.Did(""); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
