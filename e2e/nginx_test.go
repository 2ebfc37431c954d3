package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// By default nginx receives all of a request's body before it sends the first byte on.
func TestImagesArriveThroughAProxyThatBuffers(t *testing.T) {
	const size = 5_000_000
	source, registry := newSource(t), newDistribution(t, "")
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	var patches atomic.Int32
	pass := passOn(t, registry.host)
	late := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && r.ContentLength >= size {
			patches.Add(1)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			arrived <- struct{}{}
			select {
			case <-release:
			case <-r.Context().Done():
				return
			}
		}
		pass.ServeHTTP(w, r)
	}))
	var swallowed atomic.Bool
	hangs := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && r.ContentLength >= size && !swallowed.Swap(true) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		pass.ServeHTTP(w, r)
	}))
	patient := newNginx(t, late, "client_max_body_size 0;")
	impatient := newNginx(t, hangs, "client_max_body_size 0; proxy_read_timeout 2s;")
	narrow := newNginx(t, registry.host, "client_max_body_size 1m;")
	s := startServer(t, newNamespace(t), insecure(source.host, patient, impatient, narrow)...)
	image, digest := source.image(t, "app:1", size, 1)

	t.Run("an answer that comes late", func(t *testing.T) {
		pull := s.startTo(t, patient+"/late", image)
		updates := s.updates(t, pull.ID)
		<-arrived
		waiting := updates.until(t, "has sent all bytes", func(p pullJob) bool { return p.Progress.BytesDone >= size })
		if waiting.Progress.Percent == 100 || waiting.final() {
			t.Errorf("the blob counts before the registry has it: %+v", waiting)
		}
		close(release)
		all := updates.rest(t)
		checkCopied(t, all[len(all)-1], digest)
		if n := patches.Load(); n != 1 {
			t.Errorf("the blob was sent %d times", n)
		}
	})
	t.Run("a proxy that gives up waiting", func(t *testing.T) {
		checkCopied(t, s.outcome(t, s.startTo(t, impatient+"/timeout", image).ID), digest)
		if !swallowed.Load() {
			t.Error("nothing was held")
		}
	})
	t.Run("a proxy that takes no large bodies", func(t *testing.T) {
		checkFailure(t, s.outcome(t, s.startTo(t, narrow+"/narrow", image).ID), "INVALID", narrow, "413 Request Entity Too Large")
	})
}

// passOn returns a proxy that passes requests on to a registry.
func passOn(t *testing.T, host string) *httputil.ReverseProxy {
	t.Helper()
	target := &url.URL{Scheme: "http", Host: host}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
}

// newNginx starts an nginx in front of a server, with more directives. It ends with the test.
func newNginx(t *testing.T, target, directives string) (host string) {
	t.Helper()
	dir, host := t.TempDir(), freeAddress(t, env.host)
	config := filepath.Join(dir, "nginx.conf")
	// One process, so that nothing of it outlives the test.
	writeFile(t, config, fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  client_body_buffer_size 8k;
  server {
    listen %[2]s;
    location / {
      proxy_pass http://%[3]s;
      proxy_http_version 1.1;
      proxy_request_buffering on;
      proxy_set_header Host $http_host;
      %[4]s
    }
  }
}
`, dir, host, target, directives))
	cmd := exec.Command("nginx", "-p", dir, "-c", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // the error is that it was killed
	})
	eventually(t, "nginx answers", func() bool {
		resp, err := http.Get("http://" + host + "/v2/")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return true
	})
	return host
}
