package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
)

// failuresToAway is how many requests must fail in a row until the API server counts as away: a single failure may be a
// connection's end.
const failuresToAway = 2

// Health knows whether the API server answers. It watches the results of this process's own requests. There are always some:
// each replica competes for the Lease.
type Health struct {
	client *http.Client
	url    string
	logger *slog.Logger

	mu       sync.Mutex
	failures int
	// asked is when the latest request was made that was answered from the cluster's state.
	asked time.Time
	// heard is when the latest answer came, or the latest probe ended. probing is the probe that is under way; nil for none.
	heard   time.Time
	probing *probe
	// throttled is true if the latest answer was that there are too many requests (429). client-go tries those again by itself, so
	// nobody gets to see that answer.
	throttled bool
	// reachable is canceled when the API server is found away, and replaced once it is back.
	reachable   context.Context
	unreachable context.CancelFunc
}

// NewHealth returns a Health that observes the requests of all clients that are made with config from then on, and logs
// when the API server is found away and when it is back.
func NewHealth(config *rest.Config, logger *slog.Logger) (*Health, error) {
	h := &Health{logger: logger}
	h.reachable, h.unreachable = context.WithCancel(context.Background())
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return observer{next, h} })
	probing := rest.CopyConfig(config)
	probing.Timeout = probeTimeout
	var err error
	if h.client, err = rest.HTTPClientFor(probing); err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("kubernetes client: %w", err)
	}
	h.url = base.ResolveReference(&url.URL{Path: "/readyz"}).String()
	return h, nil
}

// Register registers with r whether the API server answers.
func (h *Health) Register(r prometheus.Registerer) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pullwatch_kubernetes_present",
		Help: "1 while the API server answers this replica, 0 while it does not: mutations fail at once then.",
	}, func() float64 {
		if h.Away() {
			return 0
		}
		return 1
	}))
}

// Away reports whether the API server does not answer at the moment.
func (h *Health) Away() bool { return h.whileReachable().Err() != nil }

func (h *Health) whileReachable() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reachable
}

// healthKey is the key of the Health in the contexts that its guard returns.
type healthKey struct{}

// guard returns a context that ends with ctx or, with the cause errAway, when the API server is found away. release ends it.
// While the API server is away, guard returns errAway at once. It probes the API server when the work takes long (probe.go).
func (h *Health) guard(ctx context.Context) (guarded context.Context, release func(), err error) {
	reachable := h.whileReachable()
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, healthKey{}, h))
	if reachable.Err() != nil {
		cancel(errAway)
		return ctx, nil, errAway
	}
	unlink := context.AfterFunc(reachable, func() { cancel(errAway) })
	var probing sync.WaitGroup
	probing.Go(func() { h.probeWhileSilent(ctx) })
	return ctx, func() {
		unlink()
		cancel(nil)
		probing.Wait()
	}, nil
}

// failed counts requests that failed. err is the error of the last one.
func (h *Health) failed(requests int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures += requests
	if h.failures < failuresToAway || h.reachable.Err() != nil {
		return
	}
	h.logger.Warn("Kubernetes does not answer: lists come from the cache, mutations are refused", "error", err)
	h.unreachable()
}

// Asked returns when the latest request was made that the API server answered from the cluster's state. Watches were complete
// until then, at least. It is zero when there was none.
func (h *Health) Asked() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// isThrottled reports whether the API server answers that there are too many requests.
func (h *Health) isThrottled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.throttled
}

// proved notes when a request was made that was answered from the cluster's state.
func (h *Health) proved(made time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if made.After(h.asked) {
		h.asked = made
	}
}

// answered notes that a request was answered. throttled says that the answer was 429.
func (h *Health) answered(throttled bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if throttled && !h.throttled {
		h.logger.Warn("Kubernetes has too many requests (429) and makes this server wait")
	}
	h.failures, h.heard, h.throttled = 0, time.Now(), throttled
	if h.reachable.Err() != nil {
		h.logger.Info("Kubernetes answers again")
		h.reachable, h.unreachable = context.WithCancel(context.Background())
	}
}

// observer reports the results of requests to Health.
type observer struct {
	next   http.RoundTripper
	health *Health
}

// RoundTrip implements http.RoundTripper.
func (o observer) RoundTrip(request *http.Request) (*http.Response, error) {
	made := time.Now()
	response, err := o.next.RoundTrip(request)
	switch {
	case strings.HasSuffix(request.URL.Path, "/log"):
		// A kubelet answers it, through the API server.
	case err != nil && errors.Is(request.Context().Err(), context.Canceled):
		// This process gave the request up, which says nothing of the API server.
	case err != nil:
		o.health.failed(1, err)
	case response.StatusCode == http.StatusBadGateway, response.StatusCode == http.StatusServiceUnavailable:
		o.health.failed(1, errors.New(response.Status))
	default:
		o.health.answered(response.StatusCode == http.StatusTooManyRequests)
		switch code := response.StatusCode; {
		case code < http.StatusMultipleChoices, code == http.StatusNotFound, code == http.StatusConflict:
			o.health.proved(made)
		default: // not answered from the cluster's state
		}
	}
	return response, err
}
