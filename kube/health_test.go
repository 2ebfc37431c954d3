package kube

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

// A mutation that finds no API server fails with an error that says so, long before its timeout.
func TestMutationsFailAtOnceWhileKubernetesIsAway(t *testing.T) {
	for name, fault := range map[string]func(*faultyTransport, bool){
		"refused": func(r *faultyTransport, on bool) { r.on.Store(on) },
		"hanging": func(r *faultyTransport, on bool) { r.hangs.Store(on) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newReplica(t, newAPI(t), "a", 1)
			id := r.start(t, "nginx")[0].ID
			fault(r.refuse, true)
			began := time.Now()
			for range 3 {
				if _, err := r.pulls.Cancel(t.Context(), id); usererr.CodeOf(err) != usererr.Unavailable {
					t.Errorf("%v", err)
				}
			}
			if took := time.Since(began); took > callTimeout/2 {
				t.Errorf("three mutations took %s", took)
			}
			fault(r.refuse, false)
			awaitReachable(t, r.pulls.health)
			if state, err := r.pulls.Cancel(t.Context(), id); err != nil || state.Phase != pull.Canceled {
				t.Errorf("back again: %+v, %v", state, err)
			}
		})
	}
}

func TestUsersAreToldThatKubernetesHasTooManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, newAPI(t), "a", 1)
		id := r.start(t, "nginx")[0].ID
		r.refuse.throttles.Store(true)
		_, err := r.pulls.Cancel(t.Context(), id)
		if usererr.CodeOf(err) != usererr.Unavailable || !strings.Contains(err.Error(), "too many requests") {
			t.Errorf("%v", err)
		}
		r.refuse.throttles.Store(false)
		if state, err := r.pulls.Cancel(t.Context(), id); err != nil || state.Phase != pull.Canceled {
			t.Errorf("back again: %+v, %v", state, err)
		}
	})
}

// silentKubelet is an API server behind which no kubelet answers.
type silentKubelet struct{}

func (silentKubelet) RoundTrip(r *http.Request) (*http.Response, error) {
	response := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r, Header: http.Header{}}
	if strings.HasSuffix(r.URL.Path, "/log") {
		response.StatusCode, response.Status = http.StatusBadGateway, "502 Bad Gateway"
	}
	return response, nil
}

func TestMutationsGoOnWhileAKubeletIsAway(t *testing.T) {
	config := &rest.Config{Host: "http://api.example", Transport: silentKubelet{}}
	health, err := NewHealth(config, quiet)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	for range failuresToAway {
		response, err := client.Get("http://api.example/api/v1/namespaces/a/pods/p/log")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	if health.whileReachable().Err() != nil {
		t.Error("mutations are refused because a kubelet does not answer")
	}
}

// awaitReachable asks until the API server has been found back, as the program does by competing for the Lease.
func awaitReachable(t *testing.T, h *Health) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for h.whileReachable().Err() != nil && ctx.Err() == nil {
		h.send(ctx, &probe{done: make(chan struct{})})
	}
}

func TestListsAgeWhileTheAPIServerDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &slowAPI{status: http.StatusOK}
		config := &rest.Config{Host: "http://api.example", Transport: api}
		health, err := NewHealth(config, quiet)
		if err != nil {
			t.Fatal(err)
		}
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			t.Fatal(err)
		}
		client.Timeout = LeaseTimeout
		ask := func() time.Time {
			made := time.Now()
			if response, err := client.Get("http://api.example/"); err == nil {
				response.Body.Close()
			}
			return made
		}
		last := ask()
		if got := health.Asked(); !got.Equal(last) {
			t.Errorf("proven until %v, want when the request was made, %v", got, last)
		}
		for name, fails := range map[string]slowAPI{
			"it hangs":          {status: http.StatusOK, takes: time.Hour},
			"it lost its store": {status: http.StatusInternalServerError},
			"it is overloaded":  {status: http.StatusServiceUnavailable},
			"it is asked less":  {status: http.StatusTooManyRequests},
			"it knows nobody":   {status: http.StatusUnauthorized},
		} {
			*api = fails
			ask()
			if got := health.Asked(); !got.Equal(last) {
				t.Errorf("%s: proven until %v, want %v", name, got, last)
			}
		}
	})
}

// slowAPI is an API server that answers after some time.
type slowAPI struct {
	status int
	takes  time.Duration
}

func (a *slowAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	timer := time.NewTimer(a.takes + time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: a.status, Body: http.NoBody, Request: r, Header: http.Header{}}, nil
}
