package pull

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pullwatch/internal/usererr"
)

func TestTwoSpellingsOfAPlatformAreOnePull(t *testing.T) {
	for _, c := range []struct{ given, want []string }{
		{nil, nil},
		{[]string{"linux/amd64"}, []string{"linux/amd64"}},
		{[]string{"linux/arm64/v8"}, []string{"linux/arm64"}},
		{[]string{"linux/arm64", "linux/amd64", "linux/aarch64", "Linux/ARM64/V8", "linux/x86_64/v1"}, []string{"linux/amd64", "linux/arm64"}},
		{[]string{"linux/arm", "linux/arm/7", "linux/armhf", "linux/arm/v7"}, []string{"linux/arm/v7"}},
		{[]string{"linux/armel", "linux/arm/6"}, []string{"linux/arm/v6"}},
		{[]string{"linux/i386", "linux/386"}, []string{"linux/386"}},
		{[]string{"linux/arm64/v9.0"}, []string{"linux/arm64/v9"}},
		{[]string{"linux/amd64/v3", "linux/amd64"}, []string{"linux/amd64", "linux/amd64/v3"}},
		{[]string{"macos/arm64", "windows/amd64", "wasip1/wasm"}, []string{"darwin/arm64", "wasip1/wasm", "windows/amd64"}},
	} {
		got, err := ParsePlatforms(c.given)
		if err != nil || !slices.Equal(got, c.want) || (len(got) == 0) != (got == nil) {
			t.Errorf("ParsePlatforms(%q) = %q, %v; want %q", c.given, got, err, c.want)
		}
		if again, err := ParsePlatforms(got); err != nil || !slices.Equal(again, got) {
			t.Errorf("ParsePlatforms(%q) = %q, %v", got, again, err)
		}
	}
}

func TestTooManyOrOddPlatformsAreRefused(t *testing.T) {
	many := make([]string, MaxPlatforms+1)
	for i := range many {
		many[i] = fmt.Sprintf("linux/a%d", i)
	}
	if _, err := ParsePlatforms(many[1:]); err != nil {
		t.Errorf("%d platforms: %v", MaxPlatforms, err)
	}
	for _, given := range [][]string{
		many, {}, {""}, {"linux"}, {"linux/"}, {"/amd64"}, {"linux//v7"}, {"linux/arm/v7/x"}, {"linux/amd64", "linux/amd 64"}, {"linux/amd64\n"},
		{"linux/amd64,linux/arm64"}, {"linux/ämd64"}, {"--help/x"}, {"unknown/unknown"}, {"linux/unknown"}, {"linux/" + strings.Repeat("a", 60)},
		{"linux/" + strings.Repeat("ä", 5000)},
	} {
		got, err := ParsePlatforms(given)
		if usererr.CodeOf(err) != usererr.BadInput || len(err.Error()) > 300 {
			t.Errorf("ParsePlatforms(%.50q) = %q, %v; want BAD_INPUT", given, got, err)
		}
	}
}

// Platforms that a client asks for become arguments of the copier, and stand between commas in an annotation.
func FuzzParsePlatforms(f *testing.F) {
	for _, s := range []string{"linux/amd64", "linux/arm/v7", "LINUX/x86-64", "a/b,c/d", "--x/y", "linux/arm/8", "\u212a/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParsePlatforms([]string{s})
		if err != nil {
			if usererr.CodeOf(err) != usererr.BadInput {
				t.Fatalf("%v is not BAD_INPUT", err)
			}
			return
		}
		again, err := ParsePlatforms(got)
		if err != nil || !slices.Equal(again, got) || len(got) != 1 || strings.Trim(got[0], "abcdefghijklmnopqrstuvwxyz0123456789._-/") != "" || got[0][0] == '-' {
			t.Fatalf("%q → %q → %q, %v", s, got, again, err)
		}
	})
}
