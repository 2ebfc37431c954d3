package podlog

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"pullwatch/internal/usererr"
)

// marksOf returns what a cursor of any target holds.
func marksOf(t *testing.T, cursor string) map[sourceKey]mark {
	t.Helper()
	c, err := parseCursor(cursor)
	if err != nil {
		t.Fatal(err)
	}
	return c.marks
}

func (c *cursor) encode() string {
	e := newCursorEncoder(c.target, c.begun, len(c.marks))
	for key, m := range c.marks {
		e.add(key, m)
	}
	return e.String()
}

var exampleCursor = cursor{
	target: 5,
	begun:  start,
	marks: map[sourceKey]mark{
		1: {},
		2: {over: true},
		3: {run: 7, restarts: 2, done: true, position: position{nanos: start.UnixNano(), count: 3, sum: 1 << 31}},
		4: {run: 8, position: position{nanos: 1, count: 1, sum: 9, ahead: 10, cut: true}},
		5: {run: 9, position: position{count: 4}},
		6: {run: 9, position: position{nanos: start.Add(time.Hour).UnixNano(), count: 1}},
	},
}

func TestCursorKeepsAll(t *testing.T) {
	got, err := decodeCursor(exampleCursor.encode(), 5)
	if err != nil {
		t.Fatal(err)
	}
	if got.target != 5 || !got.begun.Equal(start) || !maps.Equal(got.marks, exampleCursor.marks) {
		t.Errorf("got %+v", got)
	}
	empty := cursor{target: 1}
	if got, err := decodeCursor(empty.encode(), 1); err != nil || !got.begun.IsZero() || len(got.marks) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCursorIsCompact(t *testing.T) {
	c := cursor{target: 1, begun: start, marks: map[sourceKey]mark{}}
	for i := range MaxContainers {
		nanos := start.Add(time.Duration(i) * 123456789).UnixNano()
		c.marks[sourceKey(digest(string(rune(i))))] = mark{run: 1 << 30, position: position{nanos: nanos, count: 1, sum: 1 << 30}}
	}
	if n := len(c.encode()); n > 2<<10 {
		t.Errorf("%d bytes for %d containers", n, MaxContainers)
	}
}

func TestBadCursors(t *testing.T) {
	good := exampleCursor.encode()
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(i int) string {
		other := []byte(string(raw))
		other[i] ^= 1
		return base64.RawURLEncoding.EncodeToString(other)
	}
	for _, test := range []struct{ name, cursor, says string }{
		{"no base64", "a cursor!", "not a cursor"},
		{"cut", good[:len(good)-1], "not a cursor"},
		{"cut short", good[:4], "incomplete"},
		{"too long", strings.Repeat("A", maxCursor+1), "too long"},
		{"other version", changed(0), "another version"},
		{"other checksum", changed(1), "changed"},
		{"changed", changed(len(raw) - 1), "changed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := decodeCursor(test.cursor, exampleCursor.target)
			if usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestCursorIsBoundToItsTarget checks that a cursor is refused by a stream of something else.
func TestCursorIsBoundToItsTarget(t *testing.T) {
	in := podInput()
	own, err := newPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Input){
		"namespace": func(in *Input) { in.Namespace = "other" },
		"pod":       func(in *Input) { in.Pod = ptr("other") },
		"job":       func(in *Input) { in.Pod, in.Job = nil, in.Pod },
		"selector":  func(in *Input) { in.Pod, in.Selector = nil, in.Pod },
		"container": func(in *Input) { in.Container = ptr("other") },
		"previous":  func(in *Input) { in.Previous = true },
	} {
		other := in
		other.After = ptr((&cursor{target: own.digest}).encode())
		if _, err := newPlan(other); err != nil {
			t.Errorf("the same: %v", err)
		}
		change(&other)
		if _, err := newPlan(other); usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), "another stream") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// FuzzCursor checks that no cursor breaks the decoder, and that what it takes is what it would write.
func FuzzCursor(f *testing.F) {
	raw, err := base64.RawURLEncoding.DecodeString(exampleCursor.encode())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[cursorHeader:])
	f.Fuzz(func(t *testing.T, body []byte) {
		e := cursorEncoder{buf: append(append([]byte{cursorVersion}, make([]byte, cursorHeader-1)...), body...)}
		c, err := parseCursor(e.String())
		if err != nil {
			return
		}
		again, err := parseCursor(c.encode())
		if err != nil || again.target != c.target || !again.begun.Equal(c.begun) || len(again.marks) != len(c.marks) {
			t.Fatalf("%+v becomes %+v, %v", c, again, err)
		}
		for key, m := range again.marks {
			if want := c.marks[key]; m != want && !want.over && !want.position.isZero() {
				t.Fatalf("%+v becomes %+v", want, m)
			}
		}
	})
}
