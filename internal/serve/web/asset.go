package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// asset serves one file, compressed for clients that accept gzip.
type asset struct {
	name         string
	contentType  string
	cacheControl string
	hash         string
	plain        []byte
	// compressed compresses the file when it is first called, so that the server starts fast.
	compressed func() []byte
}

func newAsset(name string, content []byte, cacheControl string) *asset {
	return &asset{
		name:         name,
		contentType:  contentTypes[path.Ext(name)],
		cacheControl: cacheControl,
		hash:         contentHash(content),
		plain:        content,
		compressed:   sync.OnceValue(func() []byte { return compress(content) }),
	}
}

// contentTypes maps the extensions of file names to media types. Those of package mime depend on the machine.
var contentTypes = map[string]string{
	".css":     "text/css; charset=utf-8",
	".graphql": "text/plain; charset=utf-8", // which browsers show
	".html":    "text/html; charset=utf-8",
	".js":      "text/javascript; charset=utf-8",
	".svg":     "image/svg+xml",
	".txt":     "text/plain; charset=utf-8",
}

func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	content, etag := a.plain, a.hash
	if acceptsGzip(r.Header.Values("Accept-Encoding")) {
		content, etag = a.compressed(), a.hash+"-gzip"
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Type", a.contentType)
	header.Set("Cache-Control", a.cacheControl)
	header.Set("ETag", strconv.Quote(etag))
	header.Set("Vary", "Accept-Encoding")
	http.ServeContent(w, r, a.name, time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reports whether the values of Accept-Encoding name gzip with a quality above zero.
func acceptsGzip(values []string) bool {
	for coding := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, parameters, err := mime.ParseMediaType(strings.TrimSpace(coding))
		if err != nil || name != "gzip" {
			continue
		}
		quality, given := parameters["q"]
		q, err := strconv.ParseFloat(quality, 64)
		return !given || (err == nil && q > 0)
	}
	return false
}

func compress(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	if closeErr := w.Close(); err != nil || closeErr != nil {
		panic("writing to memory failed")
	}
	return b.Bytes()
}

func contentHash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}
