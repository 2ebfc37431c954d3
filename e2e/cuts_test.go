package e2e

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// The registry loses what an upload brought that was cut, so a blob arrives only in pieces small enough not to be cut.
func TestImagesArriveThroughAProxyThatCutsConnections(t *testing.T) {
	const size, most = 20_000_000, 8_000_000
	source, registry := newSource(t), newDistribution(t, "")
	pass := passOn(t, registry.host)
	pass.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	var connections sync.Map // how many bytes came over each, by the client's address
	var cuts atomic.Int32
	proxy := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came, _ := connections.LoadOrStore(r.RemoteAddr, new(atomic.Int64))
		r.Body = &cutBody{ReadCloser: r.Body, came: came.(*atomic.Int64), most: most, cuts: &cuts}
		pass.ServeHTTP(w, r)
	}))
	image, digest := source.image(t, "app:1", size, 1)
	s := startServer(t, newNamespace(t), insecure(source.host, proxy)...)

	last := s.outcome(t, s.startTo(t, proxy+"/cut", image).ID)
	checkCopied(t, last, digest)
	if last.Attempts != 1 || cuts.Load() != 1 {
		t.Errorf("%d attempts and %d connections that were cut; want one cut, and pieces that fit after it", last.Attempts, cuts.Load())
	}
}

// cutBody is a request's body that breaks off when more than most bytes have come over its connection.
type cutBody struct {
	io.ReadCloser
	came *atomic.Int64
	most int64
	cuts *atomic.Int32
}

func (b *cutBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.came.Add(int64(n)) > b.most {
		b.cuts.Add(1)
		return 0, errors.New("too much came over the connection")
	}
	return n, err
}
