package logline

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"pullwatch/internal/podlog"
)

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, test := range []struct {
		name, log string
		want      []string
		dropped   []int
	}{
		{"empty", "", nil, nil},
		{"lines", "a\nb\n", []string{"a", "b"}, []int{0, 0}},
		{"no end", "a\nb", []string{"a", "b"}, []int{0, 0}},
		{"blank lines", "\n\na\n", []string{"", "", "a"}, []int{0, 0, 0}},
		{"carriage returns", "a\r\nb\rc\n\r\r\n", []string{"a", "b\rc", "\r"}, []int{0, 0, 0}},
		{"as long as can be", long + "\na\n", []string{long, "a"}, []int{0, 0}},
		{"one too long", long + "y\na\n", []string{long, "a"}, []int{1, 0}},
		{"one too long with carriage return", long + "y\r\na\n", []string{long, "a"}, []int{1, 0}},
		{"much too long", long + long + "yz\r\n", []string{long}, []int{maxLine + 2}},
		{"too long without end", long + "yz", []string{long}, []int{2}},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":     func(r io.Reader) io.Reader { return r },
			"by the byte": iotest.OneByteReader,
			"with error":  iotest.DataErrReader,
		} {
			t.Run(test.name+" "+name, func(t *testing.T) {
				lines, dropped := readLines(t, wrap(strings.NewReader(test.log)))
				if len(lines) != len(test.want) {
					t.Fatalf("got %d lines, want %d", len(lines), len(test.want))
				}
				for i := range lines {
					if lines[i] != test.want[i] || dropped[i] != test.dropped[i] {
						t.Errorf("line %d: got %d bytes, %d dropped; want %d, %d", i, len(lines[i]), dropped[i],
							len(test.want[i]), test.dropped[i])
					}
				}
			})
		}
	}
}

func readLines(t *testing.T, r io.Reader) (lines []string, dropped []int) {
	t.Helper()
	for l := NewReader(r); ; {
		line, n, err := l.Next()
		if err == nil || len(line) > 0 {
			lines, dropped = append(lines, string(line)), append(dropped, n)
		}
		if errors.Is(err, io.EOF) {
			return lines, dropped
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAWholeLineIsKeptWithinMemory(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	const most = MaxLength + podlog.MaxFiltered
	const certain, longest = podlog.MaxLineBytes, podlog.MaxLineBytes + aroundMessage
	for _, test := range []struct {
		name            string
		certain, memory int
		length, kept    int
	}{
		{"short", 1, 0, 10, 10},
		{"as long as a message", 1, 0, maxLine, maxLine},
		{"longer", 1, 1 << 20, maxLine + 1000, maxLine + 1000},
		{"as long as can be", 1, most, most, most},
		{"too long", 1, 2 * most, most + 1000, most},
		{"without memory", 1, 1 << 10, maxLine + 5000, maxLine},
		{"a long message", certain, 0, longest, longest},
		{"longer than a long message", certain, 1 << 20, longest + 1000, longest + 1000},
		{"a long message without memory", certain, 1 << 10, longest + 5000, longest},
	} {
		t.Run(test.name, func(t *testing.T) {
			left := test.memory
			l := NewReader(strings.NewReader(x(test.length) + "\r\na\n"))
			l.Keep(test.certain, podlog.MaxFiltered, func(n int) bool {
				if n > left {
					return false
				}
				left -= n
				return true
			}, func(n int) { left += n })
			line, dropped, err := l.Next()
			if err != nil || len(line) != min(test.length, maxLine) || len(line)+dropped != test.length {
				t.Errorf("got %d bytes and %d dropped, %v", len(line), dropped, err)
			}
			if len(l.Whole()) != test.kept || cap(l.Whole()) > 2*max(maxLine, test.certain)+test.memory {
				t.Errorf("%d bytes were kept, want %d", len(l.Whole()), test.kept)
			}
			if line, _, err := l.Next(); string(line) != "a" || string(l.Whole()) != "a" || err != nil {
				t.Errorf("then came %q of %q, %v", line, l.Whole(), err)
			}
			if left != test.memory {
				t.Errorf("%d bytes were not given back", test.memory-left)
			}
		})
	}
}

func TestAppendMessage(t *testing.T) {
	x := strings.Repeat("x", podlog.DefaultLineBytes-1)
	for _, test := range []struct {
		name, raw, want string
		taken           int
		limit           int
	}{
		{"plain", "a", "a", 1, podlog.DefaultLineBytes},
		{"whole at the limit", x + "y", x + "y", podlog.DefaultLineBytes, podlog.DefaultLineBytes},
		{"cut", x + "yz", x + "y", podlog.DefaultLineBytes, podlog.DefaultLineBytes},
		{"character at the limit", x + "é", x, podlog.DefaultLineBytes - 1, podlog.DefaultLineBytes},
		{"invalid", "a\xffb\xc3", "a\uFFFDb\uFFFD", 4, podlog.DefaultLineBytes},
		{"invalid at the limit", x + "\xff", x, podlog.DefaultLineBytes - 1, podlog.DefaultLineBytes},
		{"cut behind invalid", "\xff" + x, "\uFFFD" + x[:podlog.DefaultLineBytes-3], podlog.DefaultLineBytes - 2, podlog.DefaultLineBytes},
		{"no room for a character", "日本", "", 0, 2},
		{"room for a character", "日本", "日", 3, 5},
		{"no room for what is invalid", "\xff", "", 0, 2},
		{"longer", x + x, x + x, 2 * len(x), podlog.MaxLineBytes},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, taken := AppendMessage([]byte("before"), []byte(test.raw), test.limit)
			if string(got) != "before"+test.want || taken != test.taken {
				t.Errorf("took %d, want %d; result right: %v", taken, test.taken, string(got) == "before"+test.want)
			}
		})
	}
}

// FuzzLines holds what is read of a log, in pieces of any size, against the log itself.
func FuzzLines(f *testing.F) {
	f.Add([]byte("2026-01-02T03:04:05.000000678Z a\r\nb\n\n\xff\xfe"), uint16(3))
	f.Add(bytes.Repeat([]byte("é"), podlog.DefaultLineBytes), uint16(4096))
	f.Fuzz(func(t *testing.T, log []byte, size uint16) {
		want := bytes.Split(log, []byte("\n"))
		unterminated := len(want) - 1
		lines := NewReader(&pieceReader{log: log, size: int(size) + 1})
		for i, full := range want {
			line, dropped, err := lines.Next()
			if (err != nil) != (i == unterminated) {
				t.Fatalf("line %d of %d: %v", i, len(want), err)
			}
			full = bytes.TrimSuffix(full, []byte("\r"))
			if i == unterminated && dropped > 0 {
				full = want[i]
			}
			if len(line)+dropped != len(full) && len(full) <= maxLine || !bytes.HasPrefix(full, line) {
				t.Fatalf("line %d: got %d bytes and %d dropped of %d", i, len(line), dropped, len(full))
			}
			_, message := new(Parser).Cut(line)
			text, taken := AppendMessage(nil, message, podlog.DefaultLineBytes)
			if !utf8.Valid(text) || len(text) > podlog.DefaultLineBytes || taken > len(message) {
				t.Fatalf("line %d: bad message of %d bytes, %d taken of %d", i, len(text), taken, len(message))
			}
		}
	})
}

// pieceReader reads at most size bytes at once.
type pieceReader struct {
	log  []byte
	size int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(r.log) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.size)], r.log)
	r.log = r.log[n:]
	return n, nil
}
