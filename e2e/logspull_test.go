package e2e

import (
	"regexp"
	"testing"
)

// A pull's field log is an input of podLogs. The log says what was copied, from where and to where.
func TestAPullsLogSaysWhatWasCopied(t *testing.T) {
	source := newSource(t)
	image, digest := source.image(t, "app:1", 3_000_000, 2)
	s := startServer(t, newNamespace(t), insecure(source.host)...)
	started := s.startOne(t, image)
	var data struct {
		PullJob struct{ Log map[string]any }
	}
	err := s.Ask(t.Context(), `query($id: ID!) { pullJob(id: $id) { log { namespace job container } } }`, map[string]any{"id": started.ID}, &data)
	if err != nil {
		t.Fatal(err)
	}
	logs := collect(s.podLogs(t, data.PullJob.Log).rest(t))
	last := s.outcome(t, started.ID)
	checkCopied(t, last, digest)
	checkNothingMissing(t, logs)

	wanted := []string{
		"^Reading manifests of " + regexp.QuoteMeta(image) + " ",
		`^Copying 6.0 MB in 3 blobs `,
		"^Copied 6.0 MB to " + regexp.QuoteMeta(last.Destination.Name) + ` \(` + digest + `\) `,
	}
	said := 0
	for _, line := range logs.lines {
		if said < len(wanted) && regexp.MustCompile(wanted[said]).MatchString(line.Message) {
			said++
		}
	}
	if said < len(wanted) || !regexp.MustCompile(wanted[said-1]).MatchString(logs.lines[len(logs.lines)-1].Message) {
		t.Errorf("the log does not say %v, in this order, in words: %+v", wanted, logs.lines)
	}
}
