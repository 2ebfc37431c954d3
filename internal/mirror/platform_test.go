package mirror

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pullwatch/internal/pull"
)

func imageFor(t *testing.T, os, arch, variant string) v1.Image {
	t.Helper()
	image, err := mutate.ConfigFile(randomImage(t, 2000, 2), &v1.ConfigFile{OS: os, Architecture: arch, Variant: variant})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digestOf(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	digest, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// platformIndex returns an index as BuildKit makes it: three platforms, of which two have an attestation, something
// unknown that belongs to none, and in an index within another platform.
func platformIndex(t *testing.T) (index v1.ImageIndex, named map[string]v1.Image) {
	t.Helper()
	named = map[string]v1.Image{
		"amd64": imageFor(t, "linux", "amd64", ""), "arm64": imageFor(t, "linux", "arm64", "v8"), "arm": imageFor(t, "linux", "arm", "v7"),
		"plain": imageFor(t, "linux", "s390x", ""), "inner": imageFor(t, "linux", "riscv64", ""),
		"of amd64": randomImage(t, 300, 1), "of arm64": randomImage(t, 300, 1), "of none": randomImage(t, 300, 1),
	}
	add := func(name, os, arch, variant, subject string) mutate.IndexAddendum {
		a := mutate.IndexAddendum{Add: named[name], Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch, Variant: variant}}}
		if subject != "" {
			a.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", belongsTo: digestOf(t, named[subject]).String()}
		}
		return a
	}
	inner := mutate.AppendManifests(empty.Index, add("inner", "linux", "riscv64", "", ""))
	return mutate.AppendManifests(empty.Index,
		add("amd64", "linux", "amd64", "", ""), add("arm64", "linux", "arm64", "v8", ""), add("arm", "linux", "arm", "v7", ""),
		mutate.IndexAddendum{Add: named["plain"]}, mutate.IndexAddendum{Add: inner},
		add("of amd64", "unknown", "unknown", "", "amd64"), add("of arm64", "unknown", "unknown", "", "arm64"),
		add("of none", "unknown", "unknown", "", "")), named
}

func (l *lab) copyPlatforms(source, destination string, platforms ...string) *run {
	l.t.Helper()
	return l.copyWith(l.t.Context(), Options{Source: source, Destination: destination, Platforms: platforms,
		InsecureRegistries: []string{"source.test", "destination.test"}})
}

func TestOnlyThePlatformsThatWereAskedForAreCopied(t *testing.T) {
	for _, test := range []struct {
		platforms []string
		want      []string
	}{
		{[]string{"linux/amd64"}, []string{"amd64", "of amd64"}},
		{[]string{"linux/arm64"}, []string{"arm64", "of arm64"}},
		{[]string{"linux/arm64/v8", "linux/arm"}, []string{"arm64", "arm", "of arm64"}},
		{[]string{"linux/s390x", "linux/riscv64"}, []string{"plain", "inner"}},
	} {
		t.Run(strings.Join(test.platforms, " "), func(t *testing.T) {
			inLab(t, func(t *testing.T, l *lab) {
				index, named := platformIndex(t)
				source := l.push("source.test/app:1", index)
				first := l.copyPlatforms("source.test/app:1", "destination.test/app:1", test.platforms...)
				if first.code != pull.ExitDone || first.outcome.Image != source.String() || first.outcome.Digest == source.String() {
					t.Fatalf("exit code %d, outcome %+v; want another digest than the source's %s, and that told too", first.code, first.outcome, source)
				}
				ref, err := name.ParseReference("destination.test/app:1", name.Insecure)
				if err != nil {
					t.Fatal(err)
				}
				copied, err := remote.Index(ref, remote.WithTransport(l.base))
				if err != nil {
					t.Fatal(err)
				}
				list, err := copied.IndexManifest()
				if err != nil {
					t.Fatal(err)
				}
				l.base.CloseIdleConnections()
				var got, want []string
				var images []v1.Image
				for _, desc := range list.Manifests {
					got = append(got, desc.Digest.String())
				}
				for _, name := range test.want {
					want, images = append(want, digestOf(t, named[name]).String()), append(images, named[name])
				}
				if strings.Join(got, " ") != strings.Join(want, " ") || digestOf(t, copied).String() != first.outcome.Digest {
					t.Errorf("%s has %q, want %q; the outcome is %+v", digestOf(t, copied), got, want, first.outcome)
				}
				if total := bytesOf(t, images...); first.outcome.BytesTotal != total {
					t.Errorf("%d bytes, want %d", first.outcome.BytesTotal, total)
				}
				if second := l.copyPlatforms("source.test/app:1", "destination.test/app:1", test.platforms...); !second.said("Already there") || second.outcome.Digest != first.outcome.Digest {
					t.Errorf("once more: %+v", second.outcome)
				}
			})
		})
	}
}

func TestAnImageThatIsAllForThePlatformsKeepsItsDigest(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		amd := imageFor(t, "linux", "amd64", "")
		single := l.push("source.test/app:1", amd)
		l.copyPlatforms("source.test/app:1", "destination.test/app:1", "linux/x86_64").succeeded(t, single)
		whole := l.push("source.test/app:2", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: amd}))
		l.copyPlatforms("source.test/app:2", "destination.test/app:2", "linux/amd64").succeeded(t, whole)
	})
}

func TestAPlatformThatIsNotThereIsNamed(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		index, _ := platformIndex(t)
		l.push("source.test/app:1", index)
		l.push("source.test/app:2", imageFor(t, "linux", "arm64", "v8"))
		l.push("source.test/app:3", randomImage(t, 100, 1))
		for _, test := range []struct {
			source    string
			platforms []string
			words     string
		}{
			{"source.test/app:1", []string{"linux/amd64", "windows/amd64"}, "it lacks windows/amd64; it has linux/amd64, linux/arm/v7, linux/arm64, linux/riscv64, linux/s390x"},
			{"source.test/app:1", []string{"linux/arm/v6"}, "it lacks linux/arm/v6"},
			{"source.test/app:2", []string{"linux/amd64", "linux/arm64"}, "it lacks linux/amd64; it has linux/arm64"},
			{"source.test/app:3", []string{"linux/amd64"}, "it lacks linux/amd64, and does not say"},
		} {
			l.copyPlatforms(test.source, "destination.test/app:1", test.platforms...).failed(t, pull.ExitPermanent, pull.NoPlatform, test.words)
		}
		if n := l.destination.count("PUT", "") + l.destination.count("POST", ""); n > 0 {
			t.Errorf("%d requests wrote", n)
		}
		l.copyPlatforms("source.test/app:1", "destination.test/app:1", "linux").failed(t, pull.ExitPermanent, pull.Invalid, "os/arch")
	})
}

func TestTheImageThatACopyReplacesIsNamed(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		first, second := l.push("source.test/a:1", randomImage(t, 100, 1)), l.push("source.test/b:1", randomImage(t, 100, 1))
		r := l.copy(t.Context(), "source.test/a:1", "destination.test/app:1")
		r.succeeded(t, first)
		if r.outcome.Held != "" || r.said("replace") {
			t.Errorf("nothing was there: %+v", r.outcome)
		}
		r = l.copy(t.Context(), "source.test/b:1", "destination.test/app:1")
		r.succeeded(t, second)
		if r.outcome.Held != first.String() || !r.said("It replaces "+first.String()) || !r.said("It replaced "+first.String()) {
			t.Errorf("outcome %+v does not name %s", r.outcome, first)
		}
		r = l.copy(t.Context(), "source.test/b:1", "destination.test/app:1")
		r.succeeded(t, second)
		if r.outcome.Held != "" {
			t.Errorf("the same was there: %+v", r.outcome)
		}
	})
}
