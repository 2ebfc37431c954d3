package kube

import (
	"strings"
	"testing"

	"pullwatch/internal/pull"
)

func TestJobNamesAreReadableAndFitALabel(t *testing.T) {
	for image, prefix := range map[string]string{
		"nginx":                        "nginx-latest-",
		"ghcr.io/a/b_c.d:V1.0_x":       "b-c-d-v1-0-x-",
		"host:5000/a@" + digestForTest: "a-",
		"quay.io/x/" + strings.Repeat("long", 20) + ":" + strings.Repeat("t", 100): strings.Repeat("long", 9) + "-",
	} {
		ref, err := pull.ParseImage(image)
		if err != nil {
			t.Fatal(err)
		}
		r := request{image: ref, destination: ref}
		name := jobName(r, 20_000_000)
		if !strings.HasPrefix(name, prefix) || len(name) > 57 {
			t.Errorf("%s: %s", image, name)
		}
		if other := jobName(r, 20_000_001); other == name {
			t.Errorf("%s twice", name)
		}
	}
}

const digestForTest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
