package e2e

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// A replica is killed while some pulls have ended, one has failed, some are copying and some are queued. Copying goes on without
// it.
func TestNoPullIsLostWhenTheServerIsKilled(t *testing.T) {
	source := newSource(t)
	var images []string
	for i := range 6 {
		image, _ := source.image(t, fmt.Sprintf("app-%d:1", i), 500_000, 2)
		images = append(images, image)
	}
	namespace := newNamespace(t)
	flags := append(insecure(source.host), "--max-parallel=2")
	s := startServer(t, namespace, flags...)

	ended := s.startAll(t, images[0], source.host+"/missing:1")
	before := s.outcomes(t, idsOf(ended)...)
	gate := source.hold(t, 300_000)
	open := s.startAll(t, images[1:]...)
	copying := s.updates(t, idsOf(open)...)
	copying.until(t, "is copying", func(p pullJob) bool { return p.is("PULLING") && p.Progress.Percent > 0 })
	s.Kill(t)
	gate.release()

	killed := time.Now()
	s = startServer(t, namespace, flags...)
	figures.add(t, "start of a server until it is ready", "%d ms", time.Since(killed).Milliseconds())
	for id, was := range before {
		is := s.pull(t, id)
		if is == nil {
			t.Errorf("%s is lost", id)
			continue
		}
		// A revision only says which of two states of a pull is the newer one.
		was.Revision = is.Revision
		if !reflect.DeepEqual(*is, was) {
			t.Errorf("%s was\n%+v %+v, and is\n%+v %+v", id, was, was.Failure, is, is.Failure)
		}
	}
	for id, last := range s.outcomes(t, idsOf(open)...) {
		if !last.is("SUCCEEDED") {
			t.Errorf("%s ended as %s: %s", id, last.Phase, last.Message)
		}
	}
	figures.add(t, "kill until 5 open pulls have ended, 2 at a time", "%.1f s", time.Since(killed).Seconds())
	eventually(t, "the lists show that all has ended", func() bool {
		return len(s.failedPulls(t)) == 1 && len(s.activePulls(t)) == 0
	})
}
