package replica

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"pullwatch/internal/demo/fakeapi"
	"pullwatch/internal/feed"
	"pullwatch/internal/feed/sharedlog"
	"pullwatch/internal/pull"
	"pullwatch/internal/redis/redisclient"
	"pullwatch/internal/redis/redistest"
	"pullwatch/internal/serve/httpapi"
	"pullwatch/kube"
)

const (
	testNamespace = "pulls"
	testKeys      = "pullwatch:{test}:v1:"
)

// running is a replica that serves and leads.
type running struct {
	*Replica
	client kubernetes.Interface // the test's own
	url    string
	// within bounds what the test waits for.
	within context.Context
	stop   context.CancelFunc
	// readyAtStop gets what the readiness check returned when the server was stopped, ran what Run returned.
	readyAtStop, ran chan error
}

// resigning is a transport on which nobody can give the Lease back before the server is stopped.
type resigning struct {
	http.RoundTripper
	stopping    <-chan struct{} // closed when the replica is stopped
	serverStops <-chan struct{}
}

// RoundTrip implements http.RoundTripper.
func (r resigning) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method == http.MethodPut && strings.Contains(q.URL.Path, "/leases/") {
		select {
		case <-r.stopping:
			select {
			case <-r.serverStops:
			case <-q.Context().Done():
				return nil, q.Context().Err()
			}
		default:
		}
	}
	return r.RoundTripper.RoundTrip(q)
}

// startReplica returns when the replica leads.
func startReplica(t *testing.T, redis *redisclient.Settings) *running {
	t.Helper()
	api := fakeapi.New()
	t.Cleanup(api.Close)
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r := &running{within: within, readyAtStop: make(chan error, 1), ran: make(chan error, 1)}
	var err error
	if r.client, err = kubernetes.NewForConfig(api.Config()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(within)
	r.stop = stop
	serverStops := make(chan struct{})
	config := api.Config()
	config.Transport = resigning{config.Transport, ctx.Done(), serverStops}
	r.Replica, err = New(Options{
		Resources: NewResources(256<<20, prometheus.NewRegistry(), slog.New(slog.DiscardHandler)),
		Config:    config, Redis: redis, Keys: testKeys,
		Jobs:        kube.JobSettings{Namespace: testNamespace, CopierImage: "pullwatch:test", Deadline: time.Hour, HistoryTTL: time.Hour},
		Destination: "harbor.example/mirror", MaxParallel: 1, MaxQueued: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	server := r.NewServer(httpapi.Options{
		Page: http.NotFoundHandler(), DrainTimeout: time.Minute,
		Limits: httpapi.Limits{
			PingInterval: time.Minute, PongWait: 2 * time.Minute, WriteTimeout: time.Minute, InitTimeout: time.Minute,
			MaxConnections: 10, MaxSubscriptions: 10, MaxMessage: 64 << 10, MaxOperations: 10,
		},
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + listener.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		r.ran <- r.Run(ctx, func(ctx context.Context) error {
			defer context.AfterFunc(ctx, func() {
				close(serverStops)
				r.readyAtStop <- r.ready.Check()
			})()
			return server.Serve(ctx, listener)
		})
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	r.awaitHolder(t, func(holder string) bool { return holder == r.Identity })
	return r
}

// awaitHolder waits until the Lease has a wanted holder; empty for nobody.
func (r *running) awaitHolder(t *testing.T, wanted func(holder string) bool) {
	t.Helper()
	leases, err := r.client.CoordinationV1().Leases(testNamespace).Watch(r.within, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer leases.Stop()
	for {
		list, err := r.client.CoordinationV1().Leases(testNamespace).List(r.within, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, lease := range list.Items {
			if holder := lease.Spec.HolderIdentity; holder != nil && wanted(*holder) {
				return
			}
		}
		select {
		case <-leases.ResultChan():
		case <-r.within.Done():
			t.Fatal("the Lease has another holder")
		}
	}
}

// request is one that the server has begun to read.
type request struct {
	body     *io.PipeWriter
	document string
	answer   chan string
}

// begin sends the head of a request and returns when the server asks for its body.
func (r *running) begin(t *testing.T, client *http.Client, document string) *request {
	t.Helper()
	reader, body := io.Pipe()
	asked := make(chan struct{})
	ctx := httptrace.WithClientTrace(r.within, &httptrace.ClientTrace{Got100Continue: sync.OnceFunc(func() { close(asked) })})
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/graphql", reader)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Expect", "100-continue")
	begun := &request{body: body, document: document, answer: make(chan string, 1)}
	go func() {
		response, err := client.Do(q)
		if err != nil {
			begun.answer <- err.Error()
			return
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			text = []byte(err.Error())
		}
		begun.answer <- string(text)
	}()
	select {
	case <-asked:
	case answer := <-begun.answer:
		t.Fatal(answer)
	}
	return begun
}

// finish sends the rest of the request and returns the answer.
func (q *request) finish(t *testing.T) string {
	t.Helper()
	if err := json.NewEncoder(q.body).Encode(map[string]string{"query": q.document}); err != nil {
		t.Error(err)
	}
	q.body.Close()
	return <-q.answer
}

// awaitPull waits until the replica knows a wanted state of a pull.
func (r *running) awaitPull(t *testing.T, id string, wanted func(*pull.State) bool) {
	t.Helper()
	changed, unsubscribe := r.Hub.Changed()
	defer unsubscribe()
	for {
		if state := r.Hub.Latest(id); state != nil && wanted(state) {
			return
		}
		select {
		case <-changed:
		case <-r.within.Done():
			t.Fatalf("the replica knows %+v of %s", r.Hub.Latest(id), id)
		}
	}
}

// The last requests of a replica that stops are answered like all others, while another replica may lead already.
func TestAReplicaThatStopsAnswersItsLastRequests(t *testing.T) {
	// meet waits until the replica and another one share updates. learn checks that the replica still learns of changes: that a Job
	// was deleted, or what another replica published.
	for name, setUp := range map[string]func(t *testing.T) (redis *redisclient.Settings, meet func(*running), learn func(r *running, id string)){
		"alone": func(t *testing.T) (*redisclient.Settings, func(*running), func(*running, string)) {
			return nil, func(*running) {}, func(r *running, id string) {
				if err := r.client.BatchV1().Jobs(testNamespace).Delete(r.within, id, metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				r.awaitPull(t, id, func(state *pull.State) bool { return state.Phase.Final() })
			}
		},
		"with Redis": func(t *testing.T) (*redisclient.Settings, func(*running), func(*running, string)) {
			settings, err := redisclient.Parse(redistest.Start(t).URL())
			if err != nil {
				t.Fatal(err)
			}
			other := startStream(t, settings)
			return settings, func(r *running) { awaitLive(t, r.within, r.stream, other) }, func(r *running, _ string) {
				select {
				case <-other.Vacant():
				case <-r.within.Done():
					t.Fatal("the other replicas are not told that this one leads no longer")
				}
				other.Publish(&pull.State{ID: "from-another", Phase: pull.Queued, CreatedAt: time.Now()})
				r.awaitPull(t, "from-another", func(*pull.State) bool { return true })
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			redis, meet, learn := setUp(t)
			r := startReplica(t, redis)
			meet(r)
			started, err := r.Pulls.Start(r.within, pull.StartRequest{Images: []string{"nginx:1"}})
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
			defer client.CloseIdleConnections()
			start := r.begin(t, client, `mutation { startPulls(input: {images: ["redis:7"]}) { results { pull { id } error { message } } } }`)
			list := r.begin(t, client, `{ activePulls { id } }`)

			r.stop()
			if err := <-r.readyAtStop; err == nil {
				t.Error("the server stops while /readyz says that it is ready")
			}
			r.awaitHolder(t, func(holder string) bool { return holder == "" })
			learn(r, started[0].Pull.ID)
			if answer := start.finish(t); !strings.Contains(answer, `"pull":{"id"`) {
				t.Errorf("a pull was not started: %s", answer)
			}
			if answer := list.finish(t); !strings.Contains(answer, "redis-7") || strings.Contains(answer, "error") {
				t.Errorf("the list does not show the pull that was started: %s", answer)
			}
			if err := <-r.ran; err != nil {
				t.Error(err)
			}
		})
	}
}

// startStream returns the Stream of another replica, which never leads.
func startStream(t *testing.T, settings *redisclient.Settings) *sharedlog.Stream {
	logger := slog.New(slog.DiscardHandler)
	client := redisclient.New(settings, logger, prometheus.NewRegistry())
	stream := sharedlog.New(sharedlog.Options{
		Hub: feed.New("other"), Redis: client.Stream(), Keys: testKeys, Logger: logger,
		Leads: func() bool { return false }, Watches: func() bool { return false }, Proven: func() time.Time { return time.Time{} },
	})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = stream.Run(ctx) })
	t.Cleanup(func() {
		stop()
		wg.Wait()
		client.Close()
	})
	return stream
}

// awaitLive waits until all streams hear a leader through Redis.
func awaitLive(t *testing.T, ctx context.Context, streams ...*sharedlog.Stream) {
	t.Helper()
	for _, stream := range streams {
		changed, unsubscribe := stream.LiveChanged()
		defer unsubscribe()
		for !stream.Live() {
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatal("no leader is heard through Redis")
			}
		}
	}
}
