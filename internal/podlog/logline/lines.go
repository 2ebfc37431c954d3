package logline

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"pullwatch/internal/podlog"
)

const (
	readBuffer = 16 << 10
	// maxLine is how many bytes Reader returns of a line: room for the timestamp, the message, a character that is not to be
	// split, and a line end.
	maxLine = MaxLength + podlog.MaxMessage + utf8.UTFMax + len("\r\n")
)

// Reader splits a log into lines. It takes bounded memory, however long a line is.
type Reader struct {
	r *bufio.Reader
	// long holds a line that did not fit into r's buffer.
	long []byte
}

// NewReader returns a Reader of the log that r reads.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, readBuffer)}
}

// Next returns the next line without its line end, and how many bytes beyond maxLine were dropped. The line is valid until
// the next call. At the end of the log, Next returns the reader's error, and what is left: a line without its end, or
// nothing.
func (l *Reader) Next() (line []byte, dropped int, err error) {
	line, err = l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, dropped, err = l.nextLong(line)
	}
	if dropped == 0 {
		line = bytes.TrimSuffix(line, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	return line, dropped, err
}

// nextLong reads the rest of a line that begins with start. dropped does not count the line end.
func (l *Reader) nextLong(start []byte) (line []byte, dropped int, err error) {
	l.long = append(l.long[:0], start...)
	// last has the last two bytes that were dropped: they may be the line end.
	var last [2]byte
	for {
		var part []byte
		part, err = l.r.ReadSlice('\n')
		taken := min(len(part), maxLine-len(l.long))
		l.long = append(l.long, part[:taken]...)
		for _, b := range part[max(taken, len(part)-2):] {
			last[0], last[1] = last[1], b
		}
		dropped += len(part) - taken
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	switch {
	case dropped >= 2 && last == [2]byte{'\r', '\n'}:
		dropped -= 2
	case dropped >= 1 && last[1] == '\n':
		dropped--
	}
	return l.long, dropped, err
}

// AppendMessage appends raw to dst as valid UTF-8: at most podlog.MaxMessage bytes, without a part of a character at the end.
// It returns how many bytes of raw it has taken.
func AppendMessage(dst, raw []byte) (_ []byte, taken int) {
	if utf8.Valid(raw) {
		if taken = len(raw); taken > podlog.MaxMessage {
			taken = podlog.MaxMessage
			for !utf8.RuneStart(raw[taken]) {
				taken--
			}
		}
		return append(dst, raw[:taken]...), taken
	}
	for limit := len(dst) + podlog.MaxMessage; taken < len(raw); {
		r, size := utf8.DecodeRune(raw[taken:])
		if len(dst)+utf8.RuneLen(r) > limit {
			break
		}
		dst = utf8.AppendRune(dst, r)
		taken += size
	}
	return dst, taken
}
