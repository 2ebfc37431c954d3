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
	// searched counts the bytes that were read of responses that do not follow the log.
	searched int
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
	var log []io.Reader
	add := func(text string) { log = append(log, strings.NewReader(text)) }
	begins := true
	for _, p := range parts {
		if !p.nanos.Before(req.Since.Truncate(time.Second)) {
			if begins {
				add(p.nanos.Format(time.RFC3339Nano) + " ")
			}
			add(p.text)
			if p.ends {
				add("\n")
			}
		}
		begins = p.ends
	}
	if req.Follow {
		r, w := io.Pipe()
		return &hangingLog{Reader: io.MultiReader(append(log, r)...), read: r, write: w}, nil
	}
	return io.NopCloser(io.TeeReader(io.MultiReader(log...), (*counter)(&l.searched))), nil
}

// counter counts bytes that are written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
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

// However long lines are, looking for the last ones reads no more of a log than the documentation says.
func TestTheSearchForATailIsBounded(t *testing.T) {
	repeat := func(n, size int) []string { return slices.Repeat([]string{strings.Repeat("x", size)}, n) }
	for _, test := range []struct {
		name  string
		lines []string
		tail  int
		// got is how many lines come, and told what STARTED says of them.
		got  int
		told string
	}{
		{"giants", append(repeat(3, 48<<20), "a"), 3, 1, "; 1 of its last 3 lines were found in its last"},
		{"many long lines", repeat(5000, 30<<10), 10_000, 5000, "; its last 10000 lines are too long to look for their beginning"},
		{"some very long lines", repeat(150, 1<<20), 50, 0, " of its last 50 lines were found in its last"},
		{"a few long lines in a long log", repeat(2000, 100<<10), 20, 20, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &partsLog{lines: test.lines}
				in := podInput()
				in.TailLines = &test.tail
				st := startStream(t, newFakeSource(log.open, pods(pod("web", running("1")))), in)
				lines := 0
				var got events
				for {
					batch, err := nextWithin(t, st, time.Minute)
					if err != nil {
						break
					}
					lines += len(batch.Lines)
					batch.Lines = nil
					got.add(batch)
				}
				if len(got.notices) != 1 || !strings.HasPrefix(got.notices[0], started) || !strings.Contains(got.notices[0], test.told) {
					t.Errorf("told %q", got.notices)
				}
				if lines > test.tail || lines < test.got {
					t.Errorf("got %d lines, want %d", lines, test.got)
				}
				if log.searched > maxTailRead {
					t.Errorf("%d MiB were read", log.searched>>20)
				}
			})
		})
	}
}
