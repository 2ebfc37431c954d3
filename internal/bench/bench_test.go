package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pullwatch/cache"
)

var _ cache.Local = stranger{}

func TestFiguresAreRounded(t *testing.T) {
	for d, want := range map[time.Duration]string{
		155: "155 ns", 1_540: "1.5 µs", 96_400: "96 µs", 2_345_000_000: "2.3 s",
	} {
		if got := round(d); got != want {
			t.Errorf("%d ns: %q, want %q", d, got, want)
		}
	}
	for f, want := range map[float64]string{0.000161: "0.00016", 3.96: "4.0", 9.99: "10", 4_668.4: "4,668", 1_234_567: "1,234,567"} {
		if got := digits(f); got != want {
			t.Errorf("%g: %q, want %q", f, got, want)
		}
	}
}

func TestPercentiles(t *testing.T) {
	r := &result{}
	for ms := range 200 {
		r.samples = append(r.samples, time.Duration(ms+1)*time.Millisecond)
	}
	for p, want := range map[int]time.Duration{50: 101, 95: 191, 99: 199, 100: 200} {
		if got := r.percentile(p); got != want*time.Millisecond {
			t.Errorf("p%d is %s, want %d ms", p, got, want)
		}
	}
}

func TestOneDisturbedRoundDoesNotCount(t *testing.T) {
	if got := medianRatio([]float64{8, 9, 1, 8, 10}, []float64{10, 10, 10, 10, 2}); got != .8 {
		t.Errorf("the median of .8, .9, .1, .8 and 5 is %g", got)
	}
}

func TestHitRatio(t *testing.T) {
	before := parseMetrics([]byte("# HELP x y\npullwatch_cache_reads_total{list=\"active\",tier=\"memory\"} 1\n"))
	after := parseMetrics([]byte("pullwatch_cache_reads_total{list=\"active\",tier=\"memory\"} 1.00e+02\n" +
		"pullwatch_cache_reads_total{list=\"active\",tier=\"kubernetes\"} 1\nprocess_cpu_seconds_total 3.5\n"))
	if got := hitRatio(before, after); got != 0.99 {
		t.Errorf("99 of 100 hits: %g", got)
	}
	if got := after["process_cpu_seconds_total"]; got != 3.5 {
		t.Errorf("a metric without labels: %g", got)
	}
}

func TestOnlyWhatIsGeneratedIsReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a\n<!-- make bench writes this: x -->\nold\n<!-- to here: x -->\nb\n")
	for range 2 {
		if err := replaceSection(file, "x", "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if want := "a\n<!-- make bench writes this: x -->\nnew\n<!-- to here: x -->\nb\n"; err != nil || string(got) != want {
		t.Errorf("%q, want %q; %v", got, want, err)
	}
	write("a\n")
	if err := replaceSection(file, "x", "new\n"); err == nil {
		t.Error("a file without a place for it is accepted")
	}
}
