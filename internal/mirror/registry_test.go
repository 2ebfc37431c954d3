package mirror

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// testRegistry is an in-memory registry that keeps blobs by repository, mounts them, counts what is asked of it, and
// fails as a test wants.
type testRegistry struct {
	handler http.Handler
	// fault is asked first; it returns true when it has answered.
	fault func(http.ResponseWriter, *http.Request) bool

	mu    sync.Mutex
	blobs map[string][]byte
	asked []string
}

func newTestRegistry() *testRegistry {
	r := &testRegistry{blobs: make(map[string][]byte)}
	r.handler = registry.New(registry.WithBlobHandler(r), registry.WithReferrersSupport(true),
		registry.Logger(log.New(io.Discard, "", 0)))
	return r
}

func (r *testRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked = append(r.asked, req.Method+" "+req.URL.Path)
	r.mu.Unlock()
	if r.fault != nil && r.fault(w, req) {
		return
	}
	if req.Method == http.MethodPost && r.mount(req) {
		w.WriteHeader(http.StatusCreated)
		return
	}
	// The registry holds its lock while it reads an upload: one that stalls would stop all others.
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.handler.ServeHTTP(w, req)
}

func (r *testRegistry) mount(req *http.Request) bool {
	repository, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/blobs/")
	query := req.URL.Query()
	r.mu.Lock()
	defer r.mu.Unlock()
	content, ok := r.blobs[query.Get("from")+"@"+query.Get("mount")]
	if ok {
		r.blobs[repository+"@"+query.Get("mount")] = content
	}
	return ok
}

// count returns how many requests with the method had the piece in their path.
func (r *testRegistry) count(method, piece string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, asked := range r.asked {
		if strings.HasPrefix(asked, method+" ") && strings.Contains(asked, piece) {
			n++
		}
	}
	return n
}

func (r *testRegistry) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = nil
}

// corrupt changes a byte of every blob of the repository.
func (r *testRegistry) corrupt(repository string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, content := range r.blobs {
		if strings.HasPrefix(key, repository+"@") {
			content = bytes.Clone(content)
			content[len(content)/2] ^= 1
			r.blobs[key] = content
		}
	}
}

// Get, Stat and Put make it the registry's storage.
func (r *testRegistry) Get(_ context.Context, repository string, h v1.Hash) (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	content, ok := r.blobs[repository+"@"+h.String()]
	if !ok {
		return nil, registry.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

func (r *testRegistry) Stat(_ context.Context, repository string, h v1.Hash) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	content, ok := r.blobs[repository+"@"+h.String()]
	if !ok {
		return 0, registry.ErrNotFound
	}
	return int64(len(content)), nil
}

func (r *testRegistry) Put(_ context.Context, repository string, h v1.Hash, rc io.ReadCloser) error {
	content, err := io.ReadAll(rc)
	if err != nil {
		return err
	}
	// What commits an upload is named by more of the path than what reads it.
	repository = strings.TrimSuffix(repository, "/blobs")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[repository+"@"+h.String()] = content
	return nil
}
