package transport

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/gqlerror"
)

// EncodeErrors returns errs as JSON. The server's own code fills their extensions, and may put something into them that
// has no JSON.
func EncodeErrors(errs gqlerror.List) []byte {
	text, err := json.Marshal(errs)
	if err != nil {
		return []byte(`[{"message":"the errors cannot be encoded"}]`)
	}
	return text
}

// ValidUTF8 returns text, or a corrected copy of it. gqlgen writes strings as they are, and clients take nothing but
// UTF-8: a browser drops a WebSocket over one wrong byte.
func ValidUTF8(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}
