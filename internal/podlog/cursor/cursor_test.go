package cursor

import (
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"pullwatch/internal/podlog"
	"pullwatch/internal/usererr"
)

func (c *Cursor) encode() string {
	e := NewEncoder(c.Target, c.Begun, len(c.Containers))
	for key, m := range c.Containers {
		e.Add(key, m)
	}
	return e.String()
}

var begun = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

var exampleCursor = Cursor{
	Target: 5,
	Begun:  begun,
	Containers: map[ContainerKey]Progress{
		1: {},
		2: {Over: true},
		3: {Run: 7, Restarts: 2, Done: true, Position: Position{Nanos: begun.UnixNano(), count: 3, Sum: 1 << 31}},
		4: {Run: 8, Position: Position{Nanos: 1, count: 1, Sum: 9, ahead: 10, Cut: true}},
		5: {Run: 9, Position: Position{count: 4}},
		6: {Run: 9, Position: Position{Nanos: begun.Add(time.Hour).UnixNano(), count: 1}},
	},
}

func TestCursorKeepsAll(t *testing.T) {
	got, err := Decode(exampleCursor.encode(), 5)
	if err != nil {
		t.Fatal(err)
	}
	if got.Target != 5 || !got.Begun.Equal(begun) || !maps.Equal(got.Containers, exampleCursor.Containers) {
		t.Errorf("got %+v", got)
	}
	empty := Cursor{Target: 1}
	if got, err := Decode(empty.encode(), 1); err != nil || !got.Begun.IsZero() || len(got.Containers) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCursorIsCompact(t *testing.T) {
	c := Cursor{Target: 1, Begun: begun, Containers: map[ContainerKey]Progress{}}
	for i := range podlog.MaxOpenLogs {
		nanos := begun.Add(time.Duration(i) * 123456789).UnixNano()
		c.Containers[ContainerKey(Digest(string(rune(i))))] = Progress{Run: 1 << 30, Position: Position{Nanos: nanos, count: 1, Sum: 1 << 30}}
	}
	if n := len(c.encode()); n > 2<<10 {
		t.Errorf("%d bytes for %d containers", n, podlog.MaxOpenLogs)
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
		{"too long", strings.Repeat("A", maxSize+1), "too long"},
		{"other version", changed(0), "another version"},
		{"other checksum", changed(1), "changed"},
		{"changed", changed(len(raw) - 1), "changed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Decode(test.cursor, exampleCursor.Target)
			if usererr.CodeOf(err) != usererr.BadInput || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// FuzzCursor checks that no cursor breaks the decoder, and that what it takes is what it would write.
func FuzzCursor(f *testing.F) {
	raw, err := base64.RawURLEncoding.DecodeString(exampleCursor.encode())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[headerSize:])
	f.Fuzz(func(t *testing.T, body []byte) {
		e := Encoder{buf: append(append([]byte{version}, make([]byte, headerSize-1)...), body...)}
		c, err := Parse(e.String())
		if err != nil {
			return
		}
		again, err := Parse(c.encode())
		if err != nil || again.Target != c.Target || !again.Begun.Equal(c.Begun) || len(again.Containers) != len(c.Containers) {
			t.Fatalf("%+v becomes %+v, %v", c, again, err)
		}
		for key, m := range again.Containers {
			if want := c.Containers[key]; m != want && !want.Over && !want.Position.IsZero() {
				t.Fatalf("%+v becomes %+v", want, m)
			}
		}
	})
}
