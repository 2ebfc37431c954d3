package logshare

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLinesWithoutTimestamps checks that nobody who asks for all of a log gets only what the ring has left of it, and
// that the ring keeps within its bounds, when nothing tells how old lines are.
func TestLinesWithoutTimestamps(t *testing.T) {
	for _, text := range []string{"", strings.Repeat("x", 100), strings.Repeat("x", 200_000)} {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster()
			for range 2 << 20 / (len(text) + 20) {
				c.write(record{text: fmt.Sprint(len(c.records), text), bare: true})
			}
			s := newTestSource(c)
			wantBytes(t, openLog(t, s, tailed(10)), c.truth(tailed(10), c.seen()))
			wantBytes(t, openLog(t, s, request()), c.truth(request(), 0))
			wantBytes(t, openLog(t, s, request()), c.truth(request(), 0))
			time.Sleep(time.Minute)
			wantBytes(t, openLog(t, s, tailed(10)), c.truth(tailed(10), c.seen()))
			wantBytes(t, openLog(t, s, request()), c.truth(request(), 0))
			for _, run := range s.runs {
				for _, u := range run.upstreams {
					if len(u.blocks) > maxBlocks || len(u.lines) > maxLines+minBlocks*blockSize {
						t.Errorf("%d blocks and %d lines are kept", len(u.blocks), len(u.lines))
					}
				}
			}
		})
	}
}
