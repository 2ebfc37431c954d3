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
	// aroundMessage is the room that a line has besides its message: for the timestamp, a character that is not to be split, and
	// a line end.
	aroundMessage = MaxLength + utf8.UTFMax + len("\r\n")
	// maxLine is how many bytes Reader.Next returns of a line. It is the same for all streams, because cursors have the checksum
	// of these bytes.
	maxLine = podlog.DefaultLineBytes + aroundMessage
)

// Reader splits a log into lines. It takes bounded memory, however long a line is.
type Reader struct {
	r *bufio.Reader
	// long holds a line that did not fit into r's buffer.
	long []byte
	// whole is the last line, as far as it was kept.
	whole []byte
	// keep is how many bytes are kept of a line. take takes memory for those beyond the first certain ones, and give gives it
	// back. taken is how much there is.
	certain, keep, taken int
	take                 func(bytes int) bool
	give                 func(bytes int)
}

// NewReader returns a Reader of the log that r reads.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, readBuffer), certain: maxLine, keep: maxLine}
}

// Keep makes l keep more of a line for Whole than Next returns: certain bytes of its message in any case, and up to most, if
// take has the memory for those beyond. The caller calls Release at the end.
func (l *Reader) Keep(certain, most int, take func(bytes int) bool, give func(bytes int)) {
	l.certain = max(l.certain, certain+aroundMessage)
	l.keep, l.take, l.give = max(l.certain, most+MaxLength), take, give
}

// Next returns the next line without its line end, and how many bytes beyond maxLine were dropped. The line is valid until
// the next call. At the end of the log, Next returns the reader's error, and what is left: a line without its end, or
// nothing.
func (l *Reader) Next() (line []byte, dropped int, err error) {
	if l.r.Buffered() == 0 {
		l.Release() // the log may be silent for long
	}
	line, err = l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return l.nextLong(line)
	}
	l.Release()
	line = bytes.TrimSuffix(line, []byte("\n"))
	l.whole = bytes.TrimSuffix(line, []byte("\r"))
	return l.whole, 0, err
}

// Whole returns the line that Next has returned last, with what was dropped of it as far as that was kept.
func (l *Reader) Whole() []byte { return l.whole }

// Release gives back the memory for long lines.
func (l *Reader) Release() {
	if l.taken > 0 {
		l.give(l.taken)
		l.long, l.whole, l.taken = nil, nil, 0
	}
}

// nextLong reads the rest of a line that begins with start.
func (l *Reader) nextLong(start []byte) (line []byte, dropped int, err error) {
	l.long = append(l.long[:0], start...)
	total, keep := len(start), l.keep
	// last has the last two bytes of the line: they may be the line end.
	var last [2]byte
	for {
		var part []byte
		part, err = l.r.ReadSlice('\n')
		total += len(part)
		if kept := len(l.long); kept < keep {
			if !l.grow(min(kept+len(part), keep)) {
				keep = max(kept, l.certain)
			}
			l.long = append(l.long, part[:min(len(part), keep-kept)]...)
		}
		for _, b := range part[max(0, len(part)-2):] {
			last[0], last[1] = last[1], b
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	switch {
	case last == [2]byte{'\r', '\n'}:
		total -= 2
	case last[1] == '\n', last[1] == '\r' && total <= maxLine:
		total--
	}
	l.whole = l.long[:min(len(l.long), total)]
	line = l.whole[:min(len(l.whole), maxLine)]
	return line, total - len(line), err
}

// grow makes room for a line of n bytes. It returns false if there is no memory for it.
func (l *Reader) grow(n int) bool {
	if n <= cap(l.long) {
		return true
	}
	size := max(2*len(l.long), n)
	if n <= l.certain {
		size = min(size, l.certain)
	} else {
		size = min(size, l.keep)
		more := size - l.certain - l.taken
		if !l.take(more) {
			return false
		}
		l.taken += more
	}
	l.long = append(make([]byte, 0, size), l.long...)
	return true
}

// AppendMessage appends raw to dst as valid UTF-8: at most limit bytes, without a part of a character at the end. It returns how
// many bytes of raw it has taken.
func AppendMessage(dst, raw []byte, limit int) (_ []byte, taken int) {
	raw = raw[:min(len(raw), limit+utf8.UTFMax)]
	if utf8.Valid(raw) {
		if taken = len(raw); taken > limit {
			taken = limit
			for !utf8.RuneStart(raw[taken]) {
				taken--
			}
		}
		return append(dst, raw[:taken]...), taken
	}
	for limit += len(dst); taken < len(raw); {
		r, size := utf8.DecodeRune(raw[taken:])
		if len(dst)+utf8.RuneLen(r) > limit {
			break
		}
		dst = utf8.AppendRune(dst, r)
		taken += size
	}
	return dst, taken
}
