package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"pullwatch/internal/pull"
	"pullwatch/internal/usererr"
)

func TestEachImageHasItsOwnResult(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"nginx", "NGINX", "host:5000/app@sha256:1", "docker.io/library/nginx:latest"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 4 || results[0].Image != "nginx" || results[3].Image != "docker.io/library/nginx:latest" {
		t.Fatalf("results are not in the order given: %+v", results)
	}
	for _, i := range []int{1, 2} {
		if results[i].Pull != nil || results[i].Error == nil || results[i].Error.Code != usererr.BadInput {
			t.Errorf("%s: %+v", results[i].Image, results[i])
		}
	}
	if results[0].Pull.ID != results[3].Pull.ID || results[0].Joined == results[3].Joined {
		t.Errorf("the same image twice in one call: %+v, %+v", results[0], results[3])
	}
	if got := results[0].Pull; got.Phase.Final() || got.Destination.Name != "harbor.example/mirror/library/nginx:latest" {
		t.Errorf("%+v", got)
	}
}

func TestAStartThatMakesNoSenseIsBadInput(t *testing.T) {
	r := newReplica(t, newAPI(t), "a", 10)
	bad := "not a registry"
	for name, c := range map[string]struct {
		images      []string
		destination *string
	}{
		"no image":        {nil, nil},
		"101 images":      {make([]string, 101), nil},
		"bad destination": {[]string{"nginx"}, &bad},
	} {
		if _, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: c.images, Destination: c.destination}); usererr.CodeOf(err) != usererr.BadInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.pulls.destination = ""
	if _, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{"nginx"}}); usererr.CodeOf(err) != usererr.BadInput {
		t.Errorf("no destination: %v", err)
	}
}

func TestAHundredPullsThatFailToStartAreOneLineOfLog(t *testing.T) {
	var logged bytes.Buffer
	p := &Pulls{logger: slog.New(slog.NewTextHandler(&logged, nil))}
	failed := func(cause error, code usererr.Code) *pull.StartResult {
		return &pull.StartResult{Image: "nginx", Error: usererr.Wrap(cause, code, "no")}
	}
	p.logFailures([]*pull.StartResult{
		{Image: "redis", Pull: &pull.State{}},
		failed(errors.New("no such format"), usererr.BadInput),
		failed(errors.New("not your namespace"), usererr.Forbidden),
		failed(context.Canceled, usererr.Unavailable),
		failed(nil, usererr.Unavailable),
	})
	if logged.Len() > 0 {
		t.Errorf("logged mistakes of a client: %s", &logged)
	}
	var results []*pull.StartResult
	for range pull.MaxStart {
		results = append(results, failed(errors.New("connection refused"), usererr.Unavailable))
	}
	p.logFailures(results)
	if text := logged.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "pulls=100") || !strings.Contains(text, "connection refused") {
		t.Errorf("of 100 pulls: %s", text)
	}
}

func TestTwoReplicasThatStartAPullMakeOneJob(t *testing.T) {
	api := newAPI(t)
	a, b := newReplica(t, api, "a", 1), newReplica(t, api, "b", 1)
	for round := range 10 {
		image := fmt.Sprintf("nginx:%d", round)
		var got [2]*pull.StartResult
		var wg sync.WaitGroup
		for i, r := range []*replica{a, b} {
			wg.Go(func() {
				results, err := r.pulls.Start(t.Context(), pull.StartRequest{Images: []string{image}})
				if err == nil {
					got[i] = results[0]
				}
			})
		}
		wg.Wait()
		if got[0] == nil || got[1] == nil || got[0].Error != nil || got[1].Error != nil {
			t.Fatalf("%+v %+v", got[0], got[1])
		}
		if got[0].Pull.ID != got[1].Pull.ID || got[0].Joined == got[1].Joined {
			t.Errorf("%+v, %+v", got[0], got[1])
		}
	}
	if n := len(a.jobNames(t)); n != 10 {
		t.Errorf("%d Jobs for 10 images", n)
	}
}
