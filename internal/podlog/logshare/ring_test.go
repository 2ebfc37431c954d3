package logshare

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Nobody that asks for the whole log gets only the part in the ring. The ring stays within its bounds.
func TestALogWithoutTimestampsIsSharedOnlyFromItsBeginning(t *testing.T) {
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
					if len(u.blocks) > maxRing/blockSize || len(u.blocks) > minBlocks && u.size() > u.granted {
						t.Errorf("%d blocks and %d lines are held", len(u.blocks), len(u.lines))
					}
				}
			}
		})
	}
}

// For lines of any length, a ring has as much memory as it was granted and no more, the gauge shows that, and evicted blocks
// can be freed.
func TestRingsTakeNoMoreThanTheyWereGranted(t *testing.T) {
	for _, length := range []int{0, 10, 100, 1000, 30_000} {
		for _, grants := range []int{0, 5, 100} {
			t.Run(fmt.Sprintf("%d bytes, %d grants", length, grants), func(t *testing.T) {
				random := rand.New(rand.NewPCG(uint64(length), uint64(grants)))
				gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "bytes"})
				r := newRing(noTime, gauge)
				left := grants
				mayGrow := func() bool { left--; return left >= 0 }
				var text []byte
				at := 0
				for range 500 {
					for r.mustEvict(mayGrow) {
						room := cap(r.blocks)
						r.evict()
						if cap(r.blocks) < room {
							t.Fatal("a block was evicted that cannot be freed")
						}
					}
					space := r.space()
					for len(text) < len(space) {
						at++
						text = append(time.Unix(int64(at), 0).UTC().AppendFormat(text, time.RFC3339), ' ')
						text = append(append(text, strings.Repeat("x", random.IntN(length+1))...), '\n')
					}
					n := copy(space[:1+random.IntN(len(space))], text)
					text = text[n:]
					r.add(n)
					checkMemory(t, &r, gauge)
					if t.Failed() {
						return
					}
				}
				if r.granted != min(minRing+grants*blockSize, maxRing) || r.head-r.start < int64(r.granted)/3 {
					t.Errorf("%d bytes are granted, and %d of the log held", r.granted, r.head-r.start)
				}
				r.finish()
				checkMemory(t, &r, gauge)
				r.discard()
				if shown := testutil.ToFloat64(gauge); shown != 0 {
					t.Errorf("the gauge shows %v at the end", shown)
				}
			})
		}
	}
}

// checkMemory counts the memory that a ring refers to.
func checkMemory(t *testing.T, r *ring, gauge prometheus.Gauge) {
	t.Helper()
	held := cap(r.index) * lineSize
	for _, block := range r.blocks[:cap(r.blocks)] {
		held += cap(block)
	}
	if lines := r.lines[:cap(r.lines)]; len(lines) > 0 && &lines[len(lines)-1] != &r.index[:cap(r.index)][cap(r.index)-1] {
		t.Error("lines are not in the index")
	}
	if shown := int(testutil.ToFloat64(gauge)); held != shown || held > r.granted {
		t.Errorf("%d bytes are held, of %d granted; the gauge shows %d", held, r.granted, shown)
	}
}
