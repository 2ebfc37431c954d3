package mirror

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"pullwatch/internal/pull"
)

const (
	maxMemory   = 64 << 20
	bigLayers   = 5
	bigLayer    = 60 << 20
	bigManifest = "/v2/big/manifests/1"
)

// The copier is built and run as a process of its own: the race detector multiplies memory. The process reads its peak in /proc,
// because what getrusage returns is inherited from the process that started it.
func TestALargeImageFitsTheCopiersMemory(t *testing.T) {
	copier := filepath.Join(t.TempDir(), "copier")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", copier, "./testdata/copier")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	source, sink := newBigSource(t), &sink{blobs: make(map[string]int64), manifests: make(map[string][]byte)}
	from, to := httptest.NewServer(source), httptest.NewServer(sink)
	defer from.Close()
	defer to.Close()
	fromHost, toHost := strings.TrimPrefix(from.URL, "http://"), strings.TrimPrefix(to.URL, "http://")

	cmd := exec.CommandContext(t.Context(), copier, fromHost+"/big:1", toHost+"/big:1", fromHost, toHost)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	var peak int64
	if _, err := fmt.Sscanf(stderr.String(), "VmHWM: %d kB", &peak); err != nil {
		t.Fatalf("%v in %q", err, &stderr)
	}
	if peak *= 1024; peak >= maxMemory {
		t.Errorf("copying took %s of memory", pull.FormatBytes(peak))
	}
	t.Logf("copying %s took %s of memory", pull.FormatBytes(bigLayers*bigLayer), pull.FormatBytes(peak))

	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	last, ok := pull.ParseReport(lines[len(lines)-1])
	if !ok {
		t.Fatalf("not a report: %s", lines[len(lines)-1])
	}
	if last.BytesTotal == nil || last.BytesDone != *last.BytesTotal || last.BytesDone != sink.received() ||
		last.BytesDone != bigLayers*bigLayer+2 {
		t.Errorf("the last report is %+v, received were %d bytes", last, sink.received())
	}
}

// layerContent is the same random stream whenever it is asked for, and nowhere in memory.
func layerContent(n int) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(n)}), bigLayer)
}

// newBigSource serves one image whose layers are made up as they are read.
func newBigSource(t *testing.T) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/", func(http.ResponseWriter, *http.Request) {})
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	serve := func(length int64, content func() io.Reader) v1.Descriptor {
		digest, _, err := v1.SHA256(content())
		if err != nil {
			t.Fatal(err)
		}
		mux.HandleFunc("GET /v2/big/blobs/"+digest.String(), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(length))
			_, _ = io.Copy(w, content())
		})
		return v1.Descriptor{MediaType: types.OCILayer, Size: length, Digest: digest}
	}
	for n := range bigLayers {
		m.Layers = append(m.Layers, serve(bigLayer, func() io.Reader { return layerContent(n) }))
	}
	m.Config = serve(2, func() io.Reader { return strings.NewReader("{}") })
	m.Config.MediaType = types.OCIConfigJSON
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("GET "+bigManifest, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		_, _ = w.Write(raw)
	})
	return mux
}

// sink is a registry that keeps of blobs their digests and nothing else.
type sink struct {
	mu        sync.Mutex
	blobs     map[string]int64
	manifests map[string][]byte
}

func (s *sink) received() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var total int64
	for _, n := range s.blobs {
		total += n
	}
	return total
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hash := sha256.New()
	var manifest bytes.Buffer
	out := io.Writer(hash)
	if strings.Contains(r.URL.Path, "/manifests/") {
		out = &manifest
	}
	n, err := io.Copy(out, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodPost:
		w.Header().Set("Location", "/v2/big/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPatch:
		digest := fmt.Sprintf("sha256:%x", hash.Sum(nil))
		s.blobs[digest] = n
		w.Header().Set("Location", "/v2/big/blobs/uploads/"+digest)
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut && manifest.Len() > 0:
		s.manifests[r.URL.Path] = manifest.Bytes()
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut:
		if got, want := filepath.Base(r.URL.Path), r.URL.Query().Get("digest"); got != want {
			http.Error(w, got+" is not "+want, http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusCreated)
	case s.manifests[r.URL.Path] != nil:
		stored := s.manifests[r.URL.Path]
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		w.Header().Set("Content-Length", fmt.Sprint(len(stored)))
		w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(stored)))
		_, _ = w.Write(stored)
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	}
}
