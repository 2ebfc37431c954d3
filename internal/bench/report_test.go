package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

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

func TestReportReplacesNothingButItsSection(t *testing.T) {
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
