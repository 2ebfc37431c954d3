package follow

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pullwatch/internal/podlog"
)

// partsLog answers requests as a kubelet: it stores lines in parts of 16 KiB, counts each part as a line for a tail, and puts
// a timestamp before the first part that it sends of a line.
type partsLog struct {
	lines []string
	// sent counts the bytes that were sent.
	sent int
}

const partSize = 16 << 10

// partTime is the timestamp of the first part of the i-th line.
func partTime(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }

func (l *partsLog) open(req podlog.LogRequest) (io.ReadCloser, error) {
	type part struct {
		nanos time.Time
		text  string
		ends  bool
	}
	var parts []part
	for i, line := range l.lines {
		for first := 0; first == 0 || len(line) > 0; first++ {
			n := min(partSize, len(line))
			parts = append(parts, part{partTime(i).Add(time.Duration(first) * time.Millisecond), line[:n], n == len(line)})
			line = line[n:]
		}
	}
	if req.Tail != nil {
		parts = parts[max(0, len(parts)-*req.Tail):]
	}
	var log strings.Builder
	begins := true
	for _, p := range parts {
		if !p.nanos.Before(req.Since.Truncate(time.Second)) {
			if begins {
				log.WriteString(p.nanos.Format(time.RFC3339Nano) + " ")
			}
			log.WriteString(p.text)
			if p.ends {
				log.WriteString("\n")
			}
		}
		begins = p.ends
	}
	l.sent += log.Len()
	if req.Follow {
		return hanging(log.String()), nil
	}
	return text(log.String()), nil
}

func TestATailHasThatManyWholeLines(t *testing.T) {
	long := func(i int) string { return fmt.Sprintf("begin-%d %s end", i, strings.Repeat("x", 40_000)) }
	var longs, mixed, shorts []string
	for i := range 12 {
		longs = append(longs, long(i))
		shorts = append(shorts, fmt.Sprint("short ", i))
		mixed = append(mixed, long(i), fmt.Sprint("short ", i))
	}
	for name, lines := range map[string][]string{"long": longs, "mixed": mixed, "short": shorts, "none": nil} {
		for _, n := range []int{1, 2, 4, 11, 12, 13, 100} {
			for _, follow := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/follow=%v", name, n, follow), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						log := &partsLog{lines: lines}
						in := podInput()
						in.TailLines, in.Follow = &n, follow
						source := newFakeSource(log.open, pods(pod("web", running("1"))))
						st := startStream(t, source, in)
						want := lines[max(0, len(lines)-n):]
						var got []string
						var notices events
						for {
							batch, err := nextWithin(t, st, time.Minute)
							if err != nil {
								break
							}
							notices.add(batch)
							for _, line := range batch.Lines {
								got = append(got, line.Message)
							}
						}
						if !slices.Equal(got, want) {
							t.Errorf("got %d lines, want %d; the first begins with %.20q", len(got), len(want), strings.Join(got, "\n"))
						}
						told := started
						if n > len(lines) {
							told += fmt.Sprintf("; the node has %d lines of it, fewer than %d", len(lines), n)
						}
						if !slices.Equal(notices.notices, []string{told}) {
							t.Errorf("told %q, want %q", notices.notices, told)
						}
					})
				})
			}
		}
	}
}

// A log is not read again and again for the beginning of a line that is longer than what findTail reads.
func TestATailOfGiantLinesIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		giant := strings.Repeat("x", 48<<20)
		log := &partsLog{lines: []string{giant, giant, giant, "a"}}
		in := podInput()
		in.TailLines, in.Follow = ptr(3), false
		got, err := readAll(t, startStream(t, newFakeSource(log.open, pods(pod("web", running("1")))), in))
		if err != nil || !slices.Equal(got.lines, []string{"web/app: a"}) {
			t.Fatalf("got %d lines, %v", len(got.lines), err)
		}
		if len(got.notices) == 0 || !strings.Contains(got.notices[0], "1 of its last 3 lines were found in its last") {
			t.Errorf("told %q", got.notices)
		}
		if log.sent > 10*maxTailRead {
			t.Errorf("%d MiB were read", log.sent>>20)
		}
	})
}
