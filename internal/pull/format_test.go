package pull

import "testing"

func TestBytesReadAsRegistriesCountThem(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 9_949: "9.9 kB", 9_950: "10 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		45_600_000: "46 MB", 1_234_567_890: "1.2 GB", 5_000_000_000_000_000: "5.0 PB", 1<<63 - 1: "9.2 EB",
	} {
		if got := FormatBytes(n); got != want {
			t.Errorf("FormatBytes(%d) = %q, want %q", n, got, want)
		}
	}
}
