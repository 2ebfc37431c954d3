package pull

import (
	"regexp"
	"slices"
	"strings"

	"pullwatch/internal/usererr"
)

// Bounds of what can be asked for.
const (
	// MaxPlatforms is how many platforms a pull may be limited to.
	MaxPlatforms = 20
	maxPlatform  = 64
)

var platformForm = regexp.MustCompile(`^[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*){1,2}$`)

// ParsePlatforms parses platforms as people write them, such as linux/amd64 or linux/arm/v7. It returns each once, sorted, in
// its usual spelling (see PlatformName), so that two ways to ask for the same give the same result. Nil stands for all
// platforms. An empty list would be none and is refused. An error is a usererr.BadInput.
func ParsePlatforms(given []string) ([]string, error) {
	if given == nil {
		return nil, nil
	}
	if len(given) == 0 || len(given) > MaxPlatforms {
		return nil, usererr.New(usererr.BadInput, "platforms holds %d platforms; give 1 to %d, or leave it out for all", len(given), MaxPlatforms)
	}
	var platforms []string
	for _, s := range given {
		if len(s) > maxPlatform {
			return nil, usererr.New(usererr.BadInput, "platform %q… is longer than %d bytes", Truncate(s, maxPlatform), maxPlatform)
		}
		lower := strings.ToLower(s)
		if !platformForm.MatchString(lower) {
			return nil, usererr.New(usererr.BadInput, "platform %q: expected os/arch or os/arch/variant, such as linux/amd64 or linux/arm/v7", s)
		}
		parts := append(strings.Split(lower, "/"), "")
		name := PlatformName(parts[0], parts[1], parts[2])
		if name == "" {
			return nil, usererr.New(usererr.BadInput, "platform %q: unknown is no platform", s)
		}
		platforms = append(platforms, name)
	}
	slices.Sort(platforms)
	return slices.Compact(platforms), nil
}

// JoinPlatforms returns platforms as one text; it is empty for all platforms.
func JoinPlatforms(platforms []string) string { return strings.Join(platforms, ",") }

// SplitPlatforms is the reverse of JoinPlatforms, with the errors of ParsePlatforms.
func SplitPlatforms(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	return ParsePlatforms(strings.Split(text, ","))
}

// PlatformName returns the usual spelling of a platform, that of Docker and containerd: linux/arm64/v8 is linux/arm64, and
// linux/arm is linux/arm/v7. It is empty for unknown platforms, which attestations have in an index, and for what
// ParsePlatforms refuses.
func PlatformName(os, arch, variant string) string {
	os, arch, variant = strings.ToLower(os), strings.ToLower(arch), strings.ToLower(variant)
	if os == "macos" {
		os = "darwin"
	}
	switch arch {
	case "x86_64", "x86-64":
		arch = "amd64"
	case "i386":
		arch = "386"
	case "aarch64":
		arch = "arm64"
	case "armhf":
		arch, variant = "arm", "v7"
	case "armel":
		arch, variant = "arm", "v6"
	}
	switch {
	case arch == "amd64" && variant == "v1", arch == "386", arch == "arm64" && slices.Contains([]string{"8", "v8", "v8.0"}, variant):
		variant = ""
	case arch == "arm64" && slices.Contains([]string{"9", "9.0", "v9.0"}, variant):
		variant = "v9"
	case arch == "arm" && variant == "":
		variant = "v7"
	case arch == "arm" && len(variant) == 1:
		variant = "v" + variant
	}
	name := strings.TrimSuffix(os+"/"+arch+"/"+variant, "/")
	if os == "unknown" || arch == "unknown" || len(name) > maxPlatform || !platformForm.MatchString(name) {
		return ""
	}
	return name
}
