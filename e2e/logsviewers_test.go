package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// requestCounter stands between a replica and the API server and counts the requests for pods and logs of a namespace.
type requestCounter struct {
	proxy http.Handler
	path  string

	mu sync.Mutex
	requests
}

// requests are how many were made.
type requests struct{ lists, watches, followed, read int }

// countRequests starts a counter, which ends with the test, and returns it and a kubeconfig that leads through it.
func countRequests(t *testing.T, namespace string) (counter *requestCounter, kubeconfig string) {
	t.Helper()
	api, err := url.Parse(env.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(env.Config)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(api) },
		Transport:     transport,
		FlushInterval: -1,
	}
	c := &requestCounter{proxy: proxy, path: "/api/v1/namespaces/" + namespace + "/pods"}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	config := clientcmdapi.NewConfig()
	config.Clusters["counted"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["counted"] = &clientcmdapi.Context{Cluster: "counted"}
	config.CurrentContext = "counted"
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return c, kubeconfig
}

func (c *requestCounter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.count(r.URL)
	c.proxy.ServeHTTP(w, r)
}

func (c *requestCounter) count(asked *url.URL) {
	if !strings.HasPrefix(asked.Path, c.path) {
		return
	}
	query := asked.Query()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch log := strings.HasSuffix(asked.Path, "/log"); {
	case log && query.Get("follow") == "true":
		c.followed++
	case log:
		c.read++
	case query.Get("watch") == "true":
		c.watches++
	default:
		c.lists++
	}
}

func (c *requestCounter) made() requests {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// The clients follow the log at once, and share the requests to the API server.
func TestAHundredViewersOfAPodGetEveryLine(t *testing.T) {
	const viewers, lines = 100, 500
	// The replica's own namespace is another one, so that only requests for logs are counted.
	namespace := newNamespace(t)
	counter, kubeconfig := countRequests(t, namespace)
	s := startServer(t, newNamespace(t), "--kubeconfig="+kubeconfig)
	createPod(t, namespace, "talker", nil, podSpec(corev1.RestartPolicyNever, program("main", "log", fmt.Sprint(lines), "20", "100")))
	waitForPod(t, namespace, "talker", "runs", func(p *corev1.Pod) bool { return p.Status.Phase != corev1.PodPending })

	input := map[string]any{"namespace": namespace, "pod": "talker"}
	var readers []*logReader
	for range viewers {
		readers = append(readers, readLogs(t, input, s))
	}
	for _, r := range readers {
		eventually(t, "every client has lines", func() bool { return len(r.transcript().lines) > 0 })
	}
	if got, want := counter.made(), (requests{lists: 1, watches: 1, followed: 1}); got != want {
		t.Errorf("%d clients cost the API server %+v, and one %+v", viewers, got, want)
	}
	var logs []transcript
	for _, r := range readers {
		logs = append(logs, r.whole(t))
	}
	whole := kubectlLogs(t, namespace, "talker")
	if len(whole) != lines {
		t.Errorf("the log has %d lines", len(whole))
	}
	for _, l := range logs {
		checkSame(t, l.of("talker", "main"), whole)
	}
	made := counter.made()
	// One request reads the log again when it has ended, and one reads its end. Others may come too late to share those.
	if made.lists != 1 || made.watches != 1 || made.followed != 1 || made.read > viewers/10 {
		t.Errorf("%d clients cost the API server %+v", viewers, made)
	}
	figures.add(t, "requests for 100 clients of one pod, from its beginning to its end", "%+v", made)
}
