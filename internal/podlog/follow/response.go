package follow

import (
	"errors"
	"strings"
)

// errCutOff means that a log ended before its end.
var errCutOff = errors.New("log was cut off")

// maxNodeText bounds what is told of a node's text, in bytes.
const maxNodeText = 1 << 10

// nodeText returns what a node has said in place of a log.
func nodeText(text []byte) string {
	return strings.ToValidUTF8(string(text[:min(len(text), maxNodeText)]), "\uFFFD")
}

// nodeTextError is the error of a search when the node has sent text in place of the log.
type nodeTextError struct{ said string }

func (e *nodeTextError) Error() string { return "no log, but text of the node: " + e.said }
