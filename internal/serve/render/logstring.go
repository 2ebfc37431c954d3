package render

import "encoding/binary"

// appendString appends s as a JSON string. It escapes the same characters as gqlgen.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := len(b)
	b = append(b, s...)
	if plain := plainBytes(b[start:]); plain < len(s) {
		b = appendEscaped(b[:start+plain], s[plain:])
	}
	return append(b, '"')
}

// plainBytes returns how many bytes at the beginning of text need no escape. It checks eight bytes at a time, so it may
// return up to seven too few.
func plainBytes(text []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	i := 0
	for ; i+8 <= len(text); i += 8 {
		word := binary.LittleEndian.Uint64(text[i:])
		quotes, backslashes := word^('"'*ones), word^('\\'*ones)
		// The terms have a high bit if a byte is less than ' ', a quote, or a backslash. Otherwise they have none.
		if ((word-' '*ones)&^word|(quotes-ones)&^quotes|(backslashes-ones)&^backslashes)&highs != 0 {
			return i
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

// appendEscaped appends s byte by byte.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\n':
			b = append(b, `\n`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	return b
}
